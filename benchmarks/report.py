"""What is made of the measurements: tables and a chart to read, JSON to keep, floors that they must not fall below."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.harness import SIDES, Measurement

FLOORS = Path(__file__).with_name("floors.json")
RESULTS = Path(__file__).with_name("results")
MARGIN = 0.75
"""A recorded floor is this share of what was measured."""

Run = dict[str, Any]
"""All that a run measured, as plain data: what the JSON holds."""

Floors = dict[str, dict[str, float]]
"""By workload: the share of the peak, and by side the ratio, that must be reached."""


def heading(run: Run) -> str:
    """The machine, what each side runs on, what is skipped, and what the core can read."""
    lines = [f"{key:<13} {value}" for key, value in run["machine"].items()]
    lines += [f"{side:<13} {text}" for side, text in run["sides"].items() if text != side]
    lines += [f"{side:<13} skipped: {why}" for side, why in run["skipped"].items()]
    lines.append(f"{'reads':<13} " + ", ".join(f"{size}: {rate:.0f} GB/s" for size, rate in run["read_gbytes"].items()))
    return "\n".join(lines)


def text(run: Run) -> str:
    """All that was measured, as Markdown."""
    parts = [part(run[key]) for key, part in PARTS.items() if run.get(key)]
    return "\n\n".join(parts)


def work_record(m: Measurement) -> dict[str, Any]:
    """A measurement as plain data, each run included."""
    first = SIDES[0]
    sides = {}
    for side, t in m.timings.items():
        sides[side] = {
            "best_us": t.best * 1e6,
            "median_us": t.median * 1e6,
            "clock_us": min(t.clock) * 1e6,
            "ratio": m.ratio(side),
            "paired_ratio": 1.0 if side == first else t.paired_ratio,
            "gflops": m.gflops(side),
            "share_of_peak": m.gflops(side) / m.peak,
            "share_of_limit": m.share_of_limit(side),
            "error": t.error,
            "call_us": None if t.call is None else {"median": t.call[0] * 1e6, "p99": t.call[1] * 1e6},
            "runs_us": [s * 1e6 for s in t.seconds],
            "clock_runs_us": [s * 1e6 for s in t.clock],
        }
    return {
        "name": m.work.name,
        "unit": m.work.unit,
        "flops": m.work.flops,
        "issued_flops": m.work.issued_flops(m.lanes),
        "lanes": m.lanes,
        "bytes": m.work.bytes,
        "error": m.error,
        "tolerance": m.work.tolerance,
        "peak_gflops": m.peak,
        "bandwidth_gbytes": m.bandwidth,
        "limit_us": m.limit * 1e6,
        "issued_us": m.work.issued_flops(m.lanes) / m.peak / 1e3,
        "bytes_us": m.work.bytes / m.bandwidth / 1e3,
        "gflops": m.gflops(),
        "share_of_peak": m.share,
        "share_of_issued_peak": m.share * (m.work.issued_flops(m.lanes) / m.work.flops),
        "sides": sides,
    }


def _works(works: Sequence[dict[str, Any]]) -> str:
    """A table with a row for each side of each workload, and one of single calls where they were timed."""
    rows, calls = [], []
    for work in works:
        for number, (side, t) in enumerate(work["sides"].items()):
            name = work["name"] if number == 0 else ""
            rows.append(
                [name, side, f"{t['best_us']:.1f}", f"{t['median_us']:.1f}", f"{t['clock_us']:.1f}",
                 f"{t['ratio']:.2f}", f"{t['gflops']:.1f}", f"{t['share_of_peak']:.0%}", f"{t['share_of_limit']:.0%}"]
            )  # fmt: skip
            if t["call_us"] is not None:
                median, tail = t["call_us"]["median"], t["call_us"]["p99"]
                calls.append([name, side, f"{median:.2f}", f"{tail:.2f}", f"{tail / median:.2f}"])
    peaks = [work["peak_gflops"] for work in works]
    parts = [
        table(
            ["work", "side", "best µs", "median µs", "clock µs", f"/ {SIDES[0]}", "GFLOP/s", "of peak", "of limit"],
            rows,
            2,
        ),
        "µs of a step (fit) or a call (predict, kernel) on the core: the best run and the median; clock is the best\n"
        "by the clock, longer where other programs took the core away. GFLOP/s: the operations of the matrix products\n"
        "over the best time. Peak: multiply-adds in registers, measured between the runs, "
        f"{min(peaks):.1f} to {max(peaks):.1f} GFLOP/s.\nLimit: the peak, or moving every byte once, whichever takes "
        "longer. Before the timing, each side agreed with the\nreference to "
        f"{max(work['error'] for work in works):.1g} or better.",
    ]
    parts.append(_bounds(works))
    if calls:
        parts.append(table(["single calls", "side", "median µs", "p99 µs", "p99 / median"], calls, 2))
    return "\n\n".join(parts)


def _bounds(works: Sequence[dict[str, Any]]) -> str:
    """What each workload cannot but do, and how much of the time of the first side that explains."""
    rows = []
    for work in works:
        compute, memory = work["issued_us"], work["bytes_us"]
        rows.append(
            [work["name"], f"{work['flops'] / 2e6:.3f}", f"{1 - work['flops'] / work['issued_flops']:.0%}",
             f"{work['bytes'] / 1e3:.1f}", f"{compute:.2f}", f"{memory:.2f}",
             "multiply-adds" if compute >= memory else "bytes",
             f"{work['share_of_peak']:.0%}", f"{work['share_of_issued_peak']:.0%}"]
        )  # fmt: skip
    header = ["What bounds each workload", "10⁶ multiply-adds", "empty lanes", "kB moved", "all lanes µs", "bytes µs",
              "bound by", "of peak", "of issued peak"]  # fmt: skip
    lanes = ", ".join(sorted({str(work["lanes"]) for work in works}))
    return (
        f"{table(header, rows)}\n\n"
        f"Of one unit, by {SIDES[0]}. Empty lanes: a vector has {lanes}, and n columns fill whole vectors: the share\n"
        "of the multiply-adds issued that is for no column. All lanes µs: what is issued, at the peak. Bytes µs:\n"
        "moving each array once, at the rate the core reads so many bytes. Of issued peak: with the empty lanes in it."
    )


def _start(start: dict[str, Any]) -> str:
    base = start["imports"]["numpy"]
    rows = [
        [module, f"{t['best_ms']:.1f}", f"{t['median_ms']:.1f}", f"{t['median_ms'] - base['median_ms']:+.1f}",
         f"{t['cpu_ms'] - base['cpu_ms']:+.1f}",
         f"{t['megabytes']:.1f}", f"{t['megabytes'] - base['megabytes']:+.1f}"]
        for module, t in start["imports"].items()
    ]  # fmt: skip
    header = ["import", "best ms", "median ms", "over numpy ms", "CPU over numpy ms", "resident MB", "over numpy MB"]
    taken = start["first_steps_us"]
    steps = [
        [name, f"{taken[f'{name}, first']:.1f}", f"{taken[f'{name}, later']:.1f}",
         f"{taken[f'{name}, first'] / taken[f'{name}, later']:.1f}"]
        for name in ("build", "compile", "fit", "predict", "step of one fit")
    ]  # fmt: skip
    return (
        f"{table(header, rows)}\n\n{table(['100-64-10, 32 rows', 'first µs', 'later µs', 'first / later'], steps)}\n\n"
        "On the core. fit and predict: a whole call on one batch; the first one makes the program. step of one fit:\n"
        "between two batch hooks, which come up to Python."
    )


def _growth(growth: dict[str, Any]) -> str:
    widths = [
        [
            str(w["width"]),
            f"{w['best_ps']:.2f}",
            f"{w['median_ps']:.2f}",
            f"{w['share_of_peak']:.0%}",
        ]
        for w in growth["widths"]
    ]
    best = [w["best_ps"] for w in growth["widths"]]
    smallest = growth["rows"][0]
    rows = [
        [f"{r['rows']:,}", f"{r['epoch_ns']:.1f}", f"{r['epoch_ns'] / smallest['epoch_ns']:.3f}", f"{r['call_ns']:.1f}"]
        for r in growth["rows"]
    ]
    memory = [
        [f"{m['rows']:,}", m["dtype"], f"{m['data_bytes'] / 1e6:.2f}", f"{m['beyond_bytes'] / 1e6:.2f}"]
        for m in growth["memory"]
    ]  # fmt: skip
    mapped = growth["memmap"]
    return "\n\n".join(
        [
            table(["fit w-w-w-10, batch 256: w", "best ps/operation", "median", "of peak"], widths),
            f"Slowest over fastest: {max(best) / min(best):.2f}.",
            table(["fit 100-64-10, batch 32: rows", "epoch ns/row", "of the first", "whole call ns/row"], rows),
            table(["rows", "dtype", "data MB", "beyond the data, peak MB"], memory),
            f"A memmap of {mapped['memmap_bytes'] / 2**20:.0f} MiB in an address space that could grow by "
            f"{mapped['spare_bytes'] / 2**20:.0f} MiB (a copy of it was "
            f"{'' if mapped['a_copy_was_refused'] else 'NOT '}refused): fit took\n{mapped['seconds']:.2f} s, "
            f"loss {mapped['loss']:.3f}.",
        ]
    )


def _threads(threads: dict[str, Any]) -> str:
    rows, losses, busy = [], [], 0
    for row in threads["rows"]:
        one, *others = row["threads"]
        cells = [row["name"], f"{one['best_us']:.1f}"]
        for t in others:
            calm = min(one["calm"], t["calm"])
            speedup = one["best_us"] / t["best_us"]
            if calm:
                losses.append((1 / speedup - 1, f"{row['name']}, {t['count']} threads"))
            busy += not calm
            cells += [
                f"{speedup:.2f}{'' if calm else ' ?'}",
                f"{one['median_us'] / t['median_us']:.2f}",
                str(t["used"]),
            ]
        rows.append(cells)
    header = ["work", "1 thread µs"]
    for count in threads["counts"][1:]:
        header += [f"{count} threads: speed-up", "of medians", "used"]
    loss, where = max(losses, default=(0.0, "nothing compared"))
    return (
        f"{table(header, rows)}\n\n"
        f"Worst slowdown: {max(0.0, loss):.1%} ({where})"
        + (f"; {busy} without calm turns, ?, not counted" if busy else "")
        + f".\nCPU used while idle, for a second after work on {threads['counts'][-1]} threads: "
        f"{threads['idle']:.2%} of a core.\n\n"
        "By the clock, a step (fit) or a call (predict). Speed-up: the time of one thread over that of so many, each\n"
        "the best of the turns in which no thread waited for a core; of medians: of all turns, other programs\n"
        "included. Used: threads that took part."
    )


def _accuracy(accuracy: dict[str, Any]) -> str:
    first = accuracy["sides"][SIDES[0]]
    rows = [
        [side, f"{t['seconds']:.2f}" if t["reached"] else "not reached", f"{t['cpu']:.2f}", str(t["epochs"]),
         f"{min(t['epoch_cpu']):.2f}", f"{t['accuracies'][-1]:.2%}",
         f"{min(t['epoch_cpu']) / min(first['epoch_cpu']):.2f}"]
        for side, t in accuracy["sides"].items()
    ]  # fmt: skip
    header = [
        f"to {accuracy['goal']:.0%}",
        "seconds",
        "on the core s",
        "epochs",
        "best epoch s",
        "test accuracy",
        f"epoch / {SIDES[0]}",
    ]
    return f"Fashion-MNIST, {accuracy['work']}\n\n{table(header, rows)}"


def _estimators(fits: dict[str, Any]) -> str:
    """A row for each side of each fit."""
    rows = []
    for name, sides in fits.items():
        first = sides[SIDES[0]]["seconds"]
        rows += [
            [name if side == SIDES[0] else "", side, f"{1e3 * t['seconds']:.1f}", f"{t['seconds'] / first:.1f}",
             f"{t['epochs']:.0f}", f"{t['score']:.3f}"]
            for side, t in sides.items()
        ]  # fmt: skip
    header = ["fit, scikit-learn's estimators", "side", "best ms", f"/ {SIDES[0]}", "epochs", "score"]
    return table(header, rows, 2)


PARTS = {
    "works": _works, "import": _start, "growth": _growth, "threads": _threads, "estimators": _estimators,
    "accuracy": _accuracy,
}  # fmt: skip
"""What a run may hold, and how it is told."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table, its first ``left`` columns to the left and the others to the right."""
    lines = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    rule = "|" + "|".join("-" * (w + 1) + ("-" if i < left else ":") for i, w in enumerate(widths)) + "|"

    def line(cells: Sequence[str]) -> str:
        padded = [c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return f"| {' | '.join(padded)} |"

    return "\n".join([line(header), rule, *map(line, lines[1:])])


def chart(run: Run, path: Path) -> None:
    """The roofline: what the core can do at each intensity, and where each side's work lies. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    works = [work for work in run["works"] if not work["name"].endswith("out=")]
    peak = max(work["peak_gflops"] for work in works)
    intensities = [work["flops"] / work["bytes"] for work in works]
    left, right = min(intensities) / 2, max(intensities) * 2
    figure, axes = pyplot.subplots(figsize=(11, 7.5), layout="constrained")
    for (size, rate), shade in zip(run["read_gbytes"].items(), ("0.75", "0.6", "0.45", "0.3"), strict=False):
        ends = (left, max(left, min(right, peak / rate)))
        axes.plot(ends, [x * rate for x in ends], color=shade, lw=1, zorder=1)
        axes.annotate(f" {rate:.0f} GB/s from {size}", (left, left * rate), fontsize=7, color=shade, va="bottom")
    axes.axhline(peak, color="black", lw=1.2, zorder=1)
    axes.annotate(f"{peak:.0f} GFLOP/s of multiply-adds", (right, peak), fontsize=8, ha="right", va="bottom")
    sides = list(dict.fromkeys(side for work in works for side in work["sides"]))
    colours = pyplot.get_cmap("tab10")
    for number, side in enumerate(sides):
        mine = [
            (x, work["sides"][side]["gflops"])
            for x, work in zip(intensities, works, strict=True)
            if side in work["sides"]
        ]
        first = side == SIDES[0]
        axes.scatter(
            *zip(*mine, strict=True), label="nncore" if first else LABELS.get(side, side), s=70 if first else 26,
            marker="*" if first else MARKERS[number % len(MARKERS)], color="black" if first else colours(number % 10),
            zorder=3 if first else 2,
        )  # fmt: skip
    lows = [min(t["gflops"] for t in work["sides"].values()) for work in works]
    for i, (work, x, low) in enumerate(zip(works, intensities, lows, strict=True)):
        beside = 8 * sum(abs(x / other - 1) < 0.05 for other in intensities[:i])  # points: one label next to the other
        axes.annotate(
            work["name"], (x, low), xytext=(beside, -8), textcoords="offset points", rotation=90, fontsize=6.5,
            ha="center", va="top",
        )  # fmt: skip
    axes.set(
        xscale="log", yscale="log", xlim=(left, right), ylim=(min(lows) / 30, peak * 2),
        xlabel="operations of the matrix products per byte that must move", ylabel="GFLOP/s, at the best time",
        title=f"One thread, {run['machine']['processor']}",
    )  # fmt: skip
    axes.legend(loc="lower right", fontsize=8)
    axes.grid(alpha=0.2)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


LABELS = {"reference": "nncore's NumPy backend", "numpy": "NumPy by hand", "torch": "PyTorch, fused optimizer",
          "torch-default": "PyTorch", "jax": "JAX", "sklearn": "scikit-learn", "onnxruntime": "ONNX Runtime",
          "keras": "Keras (JAX)"}  # fmt: skip
MARKERS = "osv^<>DPX"


def save(run: Run, name: str) -> list[Path]:
    """Write a run to ``RESULTS`` as JSON, Markdown and, where matplotlib is installed, a chart; returns the files."""
    files = [RESULTS / f"{name}.json", RESULTS / f"{name}.md"]
    RESULTS.mkdir(exist_ok=True)
    files[0].write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    files[1].write_text(f"```text\n{heading(run)}\n```\n\n{text(run)}\n", encoding="utf-8")
    if run["works"] and find_spec("matplotlib"):
        files.append(RESULTS / f"{name}.png")
        chart(run, files[-1])
    return files


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
    return {"peak": m.share, **{side: m.timings[side].paired_ratio for side in SIDES[1:]}}


def _all_floors() -> dict[str, Floors]:
    floors: dict[str, Floors] = json.loads(FLOORS.read_text()) if FLOORS.exists() else {}
    return floors
