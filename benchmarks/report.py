"""What is made of the measurements: a table to read, JSON to keep, and floors that they must not fall below."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import SIDES, Measurement

FLOORS = Path(__file__).with_name("floors.json")
MARGIN = 0.75
"""A recorded floor is this share of what was measured."""

Floors = dict[str, dict[str, float]]
"""By workload: the share of the peak, and by side the ratio, that must be reached."""


def heading(machine: Mapping[str, str], configurations: Mapping[str, str], reads: Mapping[str, float]) -> str:
    """The machine, what each side runs on, and what the core can read."""
    lines = [f"{key:<10} {value}" for key, value in machine.items()]
    lines += [f"{side:<10} {text}" for side, text in configurations.items() if text != side]
    lines.append(f"{'reads':<10} " + ", ".join(f"{size}: {rate:.0f} GB/s" for size, rate in reads.items()))
    return "\n".join(lines)


def table(measurements: Iterable[Measurement]) -> str:
    """A Markdown table; times are the best run, with the median in brackets."""
    measurements = list(measurements)
    first, *others = SIDES
    header = ["work", f"{first} µs", "GFLOP/s", "of peak"]
    for side in others:
        header += [f"{side} µs", f"{side} / {first}"]
    rows = [header]
    for m in measurements:
        row = [m.work.name, _microseconds(m, first), f"{m.gflops:.1f}", f"{m.share:.0%}"]
        for side in others:
            row += [_microseconds(m, side), f"{m.ratio(side):.2f}"]
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(
        1, "|" + "|".join("-" * (width + 1) + ("-" if i == 0 else ":") for i, width in enumerate(widths)) + "|"
    )
    peaks = [m.peak for m in measurements]
    lines += [
        "",
        "µs of a step (fit) or a call (kernel): the best run, and the median in brackets. GFLOP/s: the operations of",
        f"the matrix products over the best time of {first}. Peak: multiply-adds in registers, measured between the",
        f"runs, {min(peaks):.1f} to {max(peaks):.1f} GFLOP/s. Before the timing, all sides computed the same to "
        f"{max(m.error for m in measurements):.1g} or better.",
    ]
    return "\n".join(lines)


def _microseconds(m: Measurement, side: str) -> str:
    timing = m.timings[side]
    return f"{timing.best * 1e6:.1f} ({timing.median * 1e6:.1f})"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """A line of the table, its first cell to the left and the others to the right."""
    padded = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
    return f"| {' | '.join([cells[0].ljust(widths[0]), *padded[1:]])} |"


def as_json(
    machine: Mapping[str, str], configurations: Mapping[str, str], reads: Mapping[str, float],
    measurements: Iterable[Measurement],
) -> str:  # fmt: skip
    """Everything measured, each run included."""
    works = [
        {
            "name": m.work.name,
            "unit": m.work.unit,
            "flops": m.work.flops,
            "error": m.error,
            "tolerance": m.work.tolerance,
            "peak_gflops": m.peak,
            "gflops": m.gflops,
            "share_of_peak": m.share,
            "sides": {
                side: {"best_us": t.best * 1e6, "median_us": t.median * 1e6, "runs_us": [s * 1e6 for s in t.seconds]}
                for side, t in m.timings.items()
            },
        }
        for m in measurements
    ]
    whole: dict[str, Any] = {"machine": dict(machine), "sides": dict(configurations), "read_gbytes": dict(reads)}
    return json.dumps({**whole, "works": works}, indent=1)


# Floors


def read_floors(isa: str) -> Floors:
    """The floors recorded for an instruction set; empty where there are none."""
    return _all_floors().get(isa, {})


def record_floors(isa: str, measurements: Iterable[Measurement]) -> None:
    """Write ``MARGIN`` of what was measured as floors of an instruction set; those of other workloads stay."""
    floors = _all_floors()
    section = floors.setdefault(isa, {})
    for m in measurements:
        section[m.work.name] = {key: round(MARGIN * value, 3) for key, value in _yardsticks(m).items()}
    FLOORS.write_text(json.dumps(floors, indent=1) + "\n")


def loss(m: Measurement, floors: Floors) -> str | None:
    """What to say of a measurement that is below its floors; ``None`` where it is not.

    Below all of them: a busy machine lowers the share of the peak, a better NumPy the ratio, and slower code both.
    """
    floor = floors.get(m.work.name)
    if floor is None:
        return f"{m.work.name}: no floor is recorded. Run python -m benchmarks --record on a quiet machine."
    reached = _yardsticks(m)
    if any(value >= floor[key] for key, value in reached.items()):
        return None
    values = ", ".join(f"{key} {value:.3g} (floor {floor[key]:.3g})" for key, value in reached.items())
    return f"{m.work.name}: {values}"


def _yardsticks(m: Measurement) -> dict[str, float]:
    """The share of the core's peak, and for each other side how many times as long it takes in the same turn."""
    return {"peak": m.share, **{side: m.paired_ratio(side) for side in SIDES[1:]}}


def _all_floors() -> dict[str, Floors]:
    floors: dict[str, Floors] = json.loads(FLOORS.read_text()) if FLOORS.exists() else {}
    return floors
