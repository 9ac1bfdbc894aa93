"""``python -m benchmarks``: nncore against its peers and against what the core can do."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import accuracy, estimators, growth, harness, peers, report, start, threads
from benchmarks.workloads import Work, select

ROUNDS, QUICK_ROUNDS = 15, 3
ATTEMPTS = 4
"""A workload below its floor is measured so often before that counts: others may be using the machine."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line ``argv`` and returns its exit code: 1 for a loss of speed or a wrong result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", metavar="WORDS", help="workloads and sections with one of these words, commas between, in the name"
    )
    parser.add_argument(
        "--peers",
        metavar="NAMES",
        help=f"compare with these, by default with all: {','.join(peers.PEERS)}; '' for none",
    )
    parser.add_argument("--quick", action="store_true", help=f"time {QUICK_ROUNDS} rounds, not {ROUNDS}")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write everything measured to FILE")
    parser.add_argument("--save", metavar="NAME", help="write NAME.json, NAME.md and NAME.png to benchmarks/results")
    gate = parser.add_mutually_exclusive_group()
    gate.add_argument(
        "--check", action="store_true", help="exit with 1 where a workload is below its floors in floors.json"
    )
    gate.add_argument("--record", action="store_true", help="make 75 %% of what is measured the floors in floors.json")
    arguments = parser.parse_args(argv)
    gated = arguments.check or arguments.record
    try:
        works, sections = select(arguments.only, gated)
        chosen, skipped = peers.choose("" if gated and arguments.peers is None else arguments.peers)
    except ValueError as error:
        parser.error(str(error))

    harness.one_thread()
    run: report.Run = {"machine": harness.machine(), "sides": {}, "skipped": skipped, "read_gbytes": {}, "works": []}
    code = 0
    with ExitStack() as stack:
        core = harness.core()
        workers = [stack.enter_context(harness.Worker(side, core)) for side in (*harness.SIDES, *chosen)]
        run["sides"] = {worker.name: worker.ask("configuration") for worker in workers}
        run["read_gbytes"] = workers[0].ask("reads")
        print(report.heading(run), flush=True)
        rounds = QUICK_ROUNDS if arguments.quick else ROUNDS
        measurements = _measure(works, workers, rounds)
        run["works"] = [report.work_record(m) for m in measurements]
        isa = workers[0].ask("isa")
        if arguments.check:
            code = check(measurements, workers, rounds, report.read_floors(isa))
    run |= _sections(sections, chosen, arguments.quick)
    print(f"\n{report.text(run)}")
    if arguments.record:
        report.record_floors(isa, measurements)
        print(f"\nRecorded as the floors of {isa} in {report.FLOORS.name}.")
    if arguments.json:
        arguments.json.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    if arguments.save:
        print("\nWrote " + ", ".join(file.name for file in report.save(run, arguments.save)))
    return code


def _measure(works: Sequence[Work], workers: Sequence[harness.Worker], rounds: int) -> list[harness.Measurement]:
    measurements = []
    for work in works:
        print(f"timing {work.name} …", file=sys.stderr, flush=True)
        measurements.append(harness.measure(work, workers, rounds))
    return measurements


def _sections(sections: Sequence[str], chosen: Sequence[str], quick: bool) -> report.Run:
    """What the sections measure, by name."""
    measures = {
        "import": lambda: start.measure(chosen, quick),
        "growth": lambda: growth.measure(quick),
        "threads": lambda: threads.measure(quick),
        "estimators": lambda: estimators.measure(chosen, quick),
        "accuracy": lambda: accuracy.measure((*harness.SIDES, *chosen), quick),
    }
    found = {}
    for section in sections:
        print(f"measuring {section} …", file=sys.stderr, flush=True)
        found[section] = measures[section]()
    return found


def check(
    measurements: Sequence[harness.Measurement], workers: Sequence[harness.Worker], rounds: int, floors: report.Floors
) -> int:
    """0 where every workload reaches its floors, if need be when measured again; else 1, with the losses printed."""
    failed = []
    for measurement in measurements:
        loss = report.loss(measurement, floors)
        for attempt in range(2, ATTEMPTS + 1):
            if loss is None:
                break
            print(f"below its floors, measuring again ({attempt} of {ATTEMPTS}): {loss}", file=sys.stderr, flush=True)
            loss = report.loss(harness.measure(measurement.work, workers, rounds), floors)
        failed += [loss] if loss else []
    print("\n" + ("\n".join(["Slower than recorded:", *failed]) if failed else "All floors are reached."))
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except harness.WrongResultError as error:
        sys.exit(f"benchmarks: {error}")
