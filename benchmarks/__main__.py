"""``python -m benchmarks``: nncore's compiled kernels against NumPy and against what the core can do."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import harness, report
from benchmarks.workloads import select

ROUNDS, QUICK_ROUNDS = 15, 3
ATTEMPTS = 4
"""A workload below its floor is measured so often before that counts: others may be using the machine."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line ``argv`` and returns its exit code: 1 for a loss of speed or a wrong result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", metavar="WORDS", help="workloads with one of these words, commas between, in the name"
    )
    parser.add_argument("--quick", action="store_true", help=f"time {QUICK_ROUNDS} rounds, not {ROUNDS}")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write everything measured to FILE")
    gate = parser.add_mutually_exclusive_group()
    gate.add_argument(
        "--check", action="store_true", help="exit with 1 where a workload is below its floors in floors.json"
    )
    gate.add_argument("--record", action="store_true", help="make 75 %% of what is measured the floors in floors.json")
    arguments = parser.parse_args(argv)
    try:
        works = select(arguments.only)
    except ValueError as error:
        parser.error(str(error))
    rounds = QUICK_ROUNDS if arguments.quick else ROUNDS

    harness.one_thread()
    with ExitStack() as stack:
        core = harness.core()
        workers = [stack.enter_context(harness.Worker(side, core)) for side in harness.SIDES]
        machine = harness.machine()
        configurations = {worker.name: worker.ask("configuration") for worker in workers}
        reads = workers[0].ask("reads")
        isa = workers[0].ask("isa")
        print(report.heading(machine, configurations, reads), flush=True)
        measurements = []
        for work in works:
            print(f"timing {work.name} …", file=sys.stderr, flush=True)
            measurements.append(harness.measure(work, workers, rounds))
        print(f"\n{report.table(measurements)}")
        if arguments.json:
            arguments.json.write_text(report.as_json(machine, configurations, reads, measurements) + "\n")
        if arguments.record:
            report.record_floors(isa, measurements)
            print(f"\nRecorded as the floors of {isa} in {report.FLOORS.name}.")
        if arguments.check:
            return check(measurements, workers, rounds, report.read_floors(isa))
    return 0


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
