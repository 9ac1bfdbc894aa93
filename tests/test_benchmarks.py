"""The benchmarks: they run, refuse wrong results before timing, count operations right, and their gate can tell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import accuracy, estimators, growth, harness, peers, report, start, threads, workloads
from benchmarks.harness import Measurement, Timing, Worker, WrongResultError, disagreement, measure
from benchmarks.workloads import (
    GATED,
    ON_DEMAND,
    SECTIONS,
    WORKLOADS,
    Extents,
    Fit,
    Predict,
    Product,
    Work,
    initial_weights,
    parameters,
    prepare,
    select,
)

ROOT = Path(__file__).parent.parent
EXAMPLE = GATED[0]
FITS = [Fit((7, 5, 3), 4, "sgd", 12, 1), Fit((7, 5, 4, 3), 4, "adam", 12, 1)]
PREDICTS = [Predict((7, 5, 3), batch, 2, out) for batch in (1, 4) for out in (False, True)]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m benchmarks`` with these arguments, from the checkout."""
    argv = [sys.executable, "-m", "benchmarks", *arguments]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False)


def test_the_command_prints_a_table_and_writes_json(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    done = run("--quick", "--only", "fit 100-64-10,predict 8-,grad_x", "--peers", "numpy", "--json", str(path))
    assert done.returncode == 0, done.stderr
    for part in ("processor", "caches", "numpy", "blas", "GB/s", "of peak", "of limit", "/ native", "p99 / median",
                 "What bounds each workload", "of issued peak"):  # fmt: skip
        assert part in done.stdout, part
    written = json.loads(path.read_text())
    names = ["predict 8-64-64-4 batch 1", "predict 8-64-64-4 batch 1 out=", "kernel dense_grad_x 512x512x512"]
    assert [work["name"] for work in written["works"]] == [EXAMPLE.name, *names]
    for work in written["works"]:
        assert work["name"] in done.stdout
        assert 0 <= work["error"] <= work["tolerance"] < 1e-3
        assert 0 < work["share_of_peak"] <= work["share_of_issued_peak"] <= 1.1
        sides = ["native", "reference"] + ["numpy"] * (not work["name"].startswith("kernel"))
        assert list(work["sides"]) == sides
        for side in sides:
            times = work["sides"][side]
            turns = len(sides) - 1 if side == "native" else 1
            assert len(times["runs_us"]) == len(times["clock_runs_us"]) == turns * command.QUICK_ROUNDS
            assert (times["call_us"] is None) is not work["name"].startswith("predict")
            assert 0 < times["best_us"] == min(times["runs_us"]) <= times["median_us"]
        best = work["sides"]["native"]["best_us"]
        assert work["gflops"] == pytest.approx(work["flops"] / best / 1e3)
    assert set(written["read_gbytes"]) == set(harness.READ_SIZES)
    assert all(rate > 0 for rate in written["read_gbytes"].values())


def test_operations_are_counted_by_hand() -> None:
    # forwards 100x64 and 64x10, weight gradients likewise, and the input gradient of the second layer
    assert Fit((100, 64, 10), 32, "sgd", 1, 1).flops == 2 * 32 * (2 * 100 * 64 + 3 * 64 * 10)
    assert Product("dense", 3, 5, 7).flops == 2 * 3 * 5 * 7


def test_empty_lanes_are_counted_by_hand() -> None:
    assert Extents(3, 5, 10).issued(16) == 3 * 5 * 16
    assert Extents(3, 5, 16).issued(16) == Extents(3, 5, 16).multiply_adds == 3 * 5 * 16
    assert Extents(3, 5, 17).issued(16) == 3 * 5 * 32
    assert Extents(3, 5, 10).issued(1) == 3 * 5 * 10
    assert Extents(64, 32, 10, flips=True).issued(16) == Extents(64, 32, 10).multiply_adds  # 10 rows of 64
    assert Extents(64, 32, 17, flips=True).issued(16) == 64 * 32 * 32  # too wide to be transposed
    assert Product("dense", 3, 5, 7).issued_flops(8) == 2 * 3 * 5 * 8
    assert Product("dense_grad_x", 3, 5, 7).issued_flops(8) == 2 * 3 * 7 * 8
    assert Product("dense_grad_w", 3, 5, 7).issued_flops(8) == 2 * 5 * 3 * 8
    # forwards 100x64 and, on 16 lanes, 64x16; two weight gradients without loss, and an input gradient of 64 columns
    assert EXAMPLE.issued_flops(16) == 2 * 32 * (2 * 100 * 64 + 64 * 16 + 2 * 64 * 10)


@pytest.mark.tree
def test_the_narrow_columns_are_the_kernels() -> None:
    source = (ROOT / "src" / "kernels" / "gemm.h").read_text(encoding="utf-8")
    assert f" NARROW = {workloads.NARROW}," in source


def test_bytes_are_counted_by_hand() -> None:
    rows = 32 * (100 + 10)
    assert parameters((100, 64, 10)) == 101 * 64 + 65 * 10
    assert Fit((100, 64, 10), 32, "sgd", 1, 1).bytes == 4 * (2 * 7114 + rows)  # weights read and written
    assert Fit((100, 64, 10), 32, "adam", 1, 1).bytes == 4 * (6 * 7114 + rows)  # and two moments likewise
    assert Predict((100, 64, 10), 32, 1).bytes == 4 * (7114 + rows)
    assert Predict((100, 64, 10), 32, 1).flops == 2 * 32 * (100 * 64 + 64 * 10)
    assert Product("dense", 3, 5, 7).bytes == 4 * (15 + 35 + 21)


def test_words_choose_workloads() -> None:
    assert select(None) == (WORKLOADS, tuple(name for name in SECTIONS if name not in ON_DEMAND))
    products = tuple(work for work in WORKLOADS if isinstance(work, Product))
    assert select("kernel, fit 100-64-10") == ((EXAMPLE, *products), ())
    assert select("predict,growth,accuracy") == (
        tuple(work for work in WORKLOADS if isinstance(work, Predict)),
        ("growth", "accuracy"),
    )
    assert select(None, gated=True) == (GATED, ())
    assert set(GATED) < set(WORKLOADS)
    done = run("--only", "covolution")
    assert done.returncode == 2
    assert "no workload has 'covolution' in its name. There are:" in done.stderr
    assert EXAMPLE.name in done.stderr


def test_names_choose_peers_and_absent_ones_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name in ("jaxlib", "sklearn") else object())
    chosen, skipped = peers.choose(None)
    assert chosen == [name for name in peers.PEERS if name not in ("jax", "sklearn")]
    assert skipped == {"jax": "jaxlib not installed", "sklearn": "scikit-learn not installed"}
    assert peers.choose("thinc, torch") == (["torch", "torch-default", "thinc"], {})
    assert peers.choose("") == ([], {})
    with pytest.raises(ValueError, match=r"--peers: 'tensorflow' is not known\. Known peers: numpy, torch"):
        peers.choose("tensorflow")


def test_every_peer_has_a_module() -> None:
    folder = Path(peers.__file__).parent
    modules = {peers.MODULES.get(name, name) for name in peers.PEERS}
    assert modules == {path.stem for path in folder.glob("*.py")} - {"__init__"}


@pytest.mark.parametrize("work", [*FITS, *PREDICTS, Product("dense_grad_w", 9, 5, 7)])
def test_both_sides_start_alike_and_agree(work: Work) -> None:
    native, reference = (prepare(side, work).result() for side in harness.SIDES)
    assert all(np.array_equal(a, b) for a, b in zip(native[0], reference[0], strict=True))
    assert disagreement(native, reference) < 1e-5


@pytest.mark.parametrize("work", [*FITS, *PREDICTS])
def test_numpy_by_hand_starts_where_nncore_does_and_agrees(work: Fit | Predict) -> None:
    reference, task = prepare("reference", work).result(), peers.prepare("numpy", work)
    assert task is not None
    by_hand = task.result()
    assert all(np.array_equal(a, b) for a, b in zip(by_hand[0], reference[0], strict=True))
    assert disagreement(by_hand, reference) < 1e-5
    task.run()
    assert disagreement(task.result(), reference) < 1e-5  # runs leave the start alone


def test_what_a_peer_does_not_do_is_left_out() -> None:
    assert peers.prepare("numpy", Product("dense", 3, 5, 7)) is None
    workers = [FakeWorker("native", 1.0), FakeWorker("reference", 1.0), FakeWorker("numpy", None)]
    m = measure(EXAMPLE, workers, 2)  # type: ignore[arg-type]
    assert list(m.timings) == ["native", "reference"]
    assert workers[2].timed == 0


def test_disagreement_is_relative_to_what_the_work_changed() -> None:
    zero, one, off = [np.zeros(4)], [np.ones(4)], [np.full(4, 1.01)]
    assert disagreement((zero, one), (zero, one)) == 0
    assert disagreement((zero, off), (zero, one)) == pytest.approx(0.01)
    assert disagreement((zero, zero), (zero, one)) == 1  # it did nothing
    for wrong in ([np.full(4, np.nan)], [np.ones(3)]):
        assert disagreement(([np.zeros(len(wrong[0]))], wrong), (zero, one)) == float("inf")
    assert disagreement((zero, zero), (zero, zero)) == float("inf")  # nothing was compared


class FakeWorker:
    """A side with results and times of our choosing; ``after`` is ``None`` where it does not do the work."""

    def __init__(
        self, name: str, after: float | None, seconds: Sequence[float] = (1.0,), peak: float = 1.0,
        log: list[str] | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self._after = after
        self._seconds = list(seconds)
        self._peak = peak
        self._log = [] if log is None else log
        self._tails = iter([9e-6, 3e-6, 5e-6, 4e-6, 6e-6])
        self.timed = 0

    def ask(self, method: str, *arguments: object) -> object:
        if method == "prepare":
            return None if self._after is None else ([np.zeros(3)], [np.full(3, self._after)])
        if method == "peak":
            return self._peak
        if method == "bandwidth":
            return 1e3
        if method == "lanes":
            return 8
        if method == "latency":
            return 2e-6, next(self._tails)
        assert method == "time"
        self.timed += 1
        self._log.append(self.name)
        seconds = self._seconds[(self.timed - 1) % len(self._seconds)]
        return seconds, 2 * seconds


def test_a_wrong_result_is_refused_before_it_is_timed() -> None:
    workers = [FakeWorker("native", 1.0), FakeWorker("reference", 1.0), FakeWorker("torch", 1.01)]
    with pytest.raises(WrongResultError, match=r"torch must agree with reference to 0\.0001.* Received: 0\.01\."):
        measure(EXAMPLE, workers, 3)  # type: ignore[arg-type]
    assert [worker.timed for worker in workers] == [0, 0, 0]


def test_sides_take_turns_and_the_best_counts() -> None:
    log: list[str] = []
    workers = [
        FakeWorker("native", 1.0, [3e-6, 4e-6, 2e-6, 4e-6, 4e-6, 4e-6], peak=900.0, log=log),
        FakeWorker("reference", 1.0, [9e-6, 8e-6, 7e-6], log=log),
        FakeWorker("jax", 1.0, [4e-6, 6e-6, 8e-6], log=log),
    ]
    m = measure(EXAMPLE, workers, 3)  # type: ignore[arg-type]
    assert log == ["native", "reference", "native", "jax"] * 3
    assert m.timings["reference"].first == [3e-6, 2e-6, 4e-6]
    assert m.timings["native"].clock == [2 * seconds for seconds in m.timings["native"].seconds]
    assert (m.timings["native"].best, m.timings["native"].median) == (2e-6, 4e-6)
    assert m.gflops() == pytest.approx(EXAMPLE.flops / 2e-6 / 1e9)
    assert m.share == pytest.approx(m.gflops() / 900)
    assert m.ratio("reference") == pytest.approx(3.5)
    assert m.timings["reference"].paired_ratio == pytest.approx(3)  # the median of 9/3, 8/2 and 7/4
    assert m.timings["jax"].call is None


def test_the_limit_is_the_peak_or_the_bytes() -> None:
    m = Measurement(Predict((8, 64, 64, 4), 1, 1), {"native": Timing([1e-6])}, peak=100.0, bandwidth=1e6)
    assert m.limit == pytest.approx(m.work.flops / 100e9)
    m.bandwidth = 10.0
    assert m.limit == pytest.approx(m.work.bytes / 10e9)
    assert m.share_of_limit() == pytest.approx(m.limit / 1e-6)


def test_empty_lanes_count_in_what_is_issued() -> None:
    record = report.work_record(Measurement(EXAMPLE, measured(0.5, 8.0).timings, peak=200.0, bandwidth=1e3, lanes=16))
    assert record["issued_us"] == pytest.approx(EXAMPLE.issued_flops(16) / 200e9 * 1e6)
    assert record["bytes_us"] == pytest.approx(EXAMPLE.bytes / 1e12 * 1e6)
    assert record["share_of_issued_peak"] == pytest.approx(record["issued_us"] / record["sides"]["native"]["best_us"])
    assert max(record["flops"] / 200e3, record["bytes_us"]) == pytest.approx(record["limit_us"])
    row = next(line for line in report.text({"works": [record]}).splitlines() if "| multiply-adds |" in line)
    assert row.split("|")[1].strip() == EXAMPLE.name


def test_a_slow_workload_gets_three_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "BUDGET", 0.0)
    workers = [FakeWorker("native", 1.0), FakeWorker("reference", 1.0)]
    measure(EXAMPLE, workers, 15)  # type: ignore[arg-type]
    assert [worker.timed for worker in workers] == [3, 3]


def test_single_calls_count_by_their_calmest_round() -> None:
    workers = [FakeWorker("native", 1.0), FakeWorker("reference", 1.0)]
    m = measure(PREDICTS[0], workers, 1)  # type: ignore[arg-type]
    assert m.timings["native"].call == (2e-6, 3e-6)
    assert measure(PREDICTS[2], workers, 1).timings["native"].call is None  # type: ignore[arg-type]


def measured(share: float, ratio: float) -> Measurement:
    """A measurement of the example with this share of the peak and this ratio."""
    seconds = 1e-5
    peak = EXAMPLE.flops / seconds / 1e9 / share
    native, reference = Timing([seconds], [seconds]), Timing([seconds * ratio], [seconds * ratio], [seconds])
    return Measurement(EXAMPLE, {"native": native, "reference": reference}, peak)


@pytest.mark.parametrize(
    ("share", "ratio", "lost"),
    [(0.6, 8.0, False), (0.2, 8.0, False), (0.6, 2.0, False), (0.41, 5.9, True), (0.2, 2.0, True)],
)
def test_a_loss_is_one_by_every_yardstick(share: float, ratio: float, lost: bool) -> None:
    floors = {EXAMPLE.name: {"peak": 0.42, "reference": 6.0}}
    text = report.loss(measured(share, ratio), floors)
    assert (text is not None) is lost
    if text is not None:
        assert text == f"{EXAMPLE.name}: peak {share:.3g} (floor 0.42), reference {ratio:.3g} (floor 6)"


def test_what_has_no_floor_fails_and_says_how_to_record_one() -> None:
    text = report.loss(measured(0.6, 8.0), {})
    assert text is not None
    assert "no floor is recorded. Run python -m benchmarks --record" in text


def test_recorded_floors_are_three_quarters_and_leave_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "FLOORS", tmp_path / "floors.json")
    report.record_floors("avx2", [measured(0.8, 8.0)])
    report.record_floors("avx512", [measured(0.4, 4.0)])
    assert report.read_floors("avx2") == {EXAMPLE.name: {"peak": 0.6, "reference": 6.0}}
    assert report.read_floors("avx512") == {EXAMPLE.name: {"peak": 0.3, "reference": 3.0}}
    assert report.read_floors("neon") == {}


@pytest.mark.parametrize("slow", [0, 1, command.ATTEMPTS - 1, command.ATTEMPTS])
def test_a_loss_is_measured_again_before_it_counts(slow: int, capsys: pytest.CaptureFixture[str]) -> None:
    floors = {EXAMPLE.name: {"peak": 0.42, "reference": 6.0}}
    first = measured(0.2, 2.0) if slow else measured(0.6, 8.0)
    again = [1e-5] * (slow - 1) + [1e-6]
    workers = [FakeWorker("native", 1.0, again, peak=1e3), FakeWorker("reference", 1.0, [1e-5])]
    assert command.check([first], workers, 1, floors) == int(slow == command.ATTEMPTS)  # type: ignore[list-item]
    assert workers[0].timed == min(slow, command.ATTEMPTS - 1)
    assert ("Slower than recorded:" in capsys.readouterr().out) is (slow == command.ATTEMPTS)


def test_every_workload_has_floors_for_the_instruction_sets_of_x86() -> None:
    for isa in ("avx512", "avx2", "baseline"):
        floors = report.read_floors(isa)
        assert set(floors) == {work.name for work in GATED}
        for floor in floors.values():
            assert set(floor) == {"peak", "reference"}
            assert 0 < floor["peak"] < 1


def test_a_side_that_fails_says_so() -> None:
    with Worker("native", None) as worker, pytest.raises(RuntimeError, match=r"'native' failed in prepare: .*'nosuch'"):
        worker.ask("prepare", Fit((4, 3), 2, "nosuch", 10, 1))


def test_a_side_is_pinned_to_one_core_and_computes_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in harness.THREADS:
        monkeypatch.setenv(name, "7")
    harness.one_thread()
    assert {os.environ[name] for name in harness.THREADS} == {"1"}
    core = harness.core()
    if core is not None:
        with Worker("reference", core) as worker:
            worker.ask("configuration")
            assert os.sched_getaffinity(worker.pid) == {core}


def test_the_heading_warns_of_what_holds_a_blas_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in harness.HOBBLES:
        monkeypatch.delenv(name, raising=False)
    assert "WARNING" not in harness.machine()
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    run = {"machine": harness.machine(), "sides": {}, "skipped": {}, "read_gbytes": {}}
    line = next(line for line in report.heading(run).splitlines() if line.startswith("WARNING"))
    assert "OPENBLAS_CORETYPE=Haswell" in line
    assert "slower than they could be" in line


def test_the_blas_names_its_kernels_where_it_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    import threadpoolctl

    pools = [{"user_api": "openmp"}, {"user_api": "blas", "architecture": "Zen"}]
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: pools)
    assert harness._blas().endswith("its kernels for Zen")
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)  # as if it were not installed
    assert "kernels" not in harness._blas()


def test_the_limit_of_one_thread_is_lifted_for_nncore_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in harness.THREADS:
        monkeypatch.setenv(name, "1")
    own = {"NNCORE_NUM_THREADS", "OMP_NUM_THREADS"}
    with harness.any_threads():
        assert set(harness.THREADS) & set(os.environ) == set(harness.THREADS) - own
    assert all(os.environ[name] == "1" for name in harness.THREADS)


@pytest.mark.parametrize("most, expected", [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_numbers_of_threads_double_up_to_all(monkeypatch: pytest.MonkeyPatch, most: int, expected: list[int]) -> None:
    import nncore

    monkeypatch.setattr(nncore, "get_num_threads", lambda: most)
    assert threads.counts() == expected


def test_threads_are_measured_in_turns() -> None:
    import nncore

    before = nncore.get_num_threads()
    try:
        for work in (Fit((8, 8, 8, 10), 32, "sgd", 2, 1), Predict((8, 10), 4, 2)):
            found = threads.row(work, [1, 2], 3)
            assert (found["width"], found["batch"], found["unit"]) == (8, work.batch, work.unit)
            assert [each["count"] for each in found["threads"]] == [1, 2]
            for each in found["threads"]:
                assert len(each["runs_us"]) == 3
                assert 0 < min(each["runs_us"]) <= each["best_us"]
                assert each["used"] == 1  # too little work for two
                assert 0 <= each["calm"] <= 3
    finally:
        nncore.set_num_threads(before)


def test_every_width_and_batch_has_its_row() -> None:
    rows = threads.works(threads.WIDTHS)
    fits = [(work.sizes[0], work.batch) for work in rows if isinstance(work, Fit)]
    assert fits == [(width, batch) for width in (8, 16, 32, 64, 128, 256, 512, 1024, 2048) for batch in (32, 256)]
    assert [work.batch for work in rows if isinstance(work, Predict)] == [1, 256, 4096]
    assert all(1 <= work.units <= threads.MOST_UNITS for work in rows)


def test_a_turn_that_waited_for_a_core_is_not_calm(monkeypatch: pytest.MonkeyPatch) -> None:
    import nncore

    waits = iter([1.0, 1.0, 0.0, 0.0])
    monkeypatch.setattr(threads, "_tasks", dict)
    monkeypatch.setattr(threads, "_since", lambda before: ([0.0], [next(waits)]))
    each = threads.row(Predict((8, 10), 4, 2), [nncore.get_num_threads()], 4)["threads"][0]
    assert each["calm"] == 2
    assert each["best_us"] in each["runs_us"]


def whole_run() -> report.Run:
    """A run with every part in it, of figures that are easy to find again."""
    work = report.work_record(measured(0.5, 8.0))
    sizes = {"best_ms": 10.0, "median_ms": 12.0, "cpu_ms": 10.0, "megabytes": 20.0}
    steps = {f"{name}, {when}": 5.0 for name in ("build", "compile", "fit", "predict", "step of one fit")
             for when in ("first", "later")}  # fmt: skip
    side = {"epoch_seconds": [2.0], "epoch_cpu": [1.0], "accuracies": [0.875], "reached": True, "seconds": 2.0,
            "cpu": 1.0, "epochs": 1}  # fmt: skip
    return {
        "machine": {"processor": "a processor"},
        "sides": {"native": "native (avx2)", "jax": "jax 1.2"},
        "skipped": {"thinc": "thinc not installed"},
        "read_gbytes": {"16 KiB": 200.0, "256 MiB": 20.0},
        "works": [work],
        "import": {"imports": {"numpy": sizes, "nncore": {**sizes, "median_ms": 21.5}}, "first_steps_us": steps},
        "growth": {
            "widths": [
                {"width": w, "best_ps": p, "median_ps": p, "share_of_peak": 0.5} for w, p in ((64, 9), (128, 6))
            ],
            "rows": [{"rows": n, "epoch_ns": t, "call_ns": t} for n, t in ((1024, 200.0), (4096, 210.0))],
            "memory": [{"rows": 1024, "dtype": "float64", "data_bytes": 9e5, "beyond_bytes": 1e4}],
            "memmap": {"memmap_bytes": 2**30, "spare_bytes": 2**26, "a_copy_was_refused": True, "seconds": 1.0,
                       "loss": 2.3},
        },
        "threads": {"counts": [1, 2], "idle": 0.0001, "rows": [
            {"name": name, "width": 8, "batch": 32, "unit": "step", "threads": [
                {"count": 1, "best_us": 10.0, "median_us": 12.0, "used": 1, "calm": 4, "runs_us": [10.0]},
                {"count": 2, "best_us": best, "median_us": 15.0, "used": 2, "calm": calm, "runs_us": [best]},
            ]}
            for name, best, calm in (("fit a", 8.0, 4), ("fit b", 10.25, 4), ("fit c", 40.0, 0))
        ]},
        "estimators": {"fit a": {
            side: {"seconds": seconds, "cpu": 1.0, "epochs": 7.0, "score": 0.875}
            for side, seconds in (("native", 0.25), ("sklearn", 2.0))
        }},
        "accuracy": {"work": accuracy.WORK.name, "goal": 0.87, "sides": {"native": side, "jax": side}},
    }  # fmt: skip


def test_a_run_is_told_and_kept_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    run = whole_run()
    files = report.save(run, "kept")
    assert [file.name for file in files] == ["kept.json", "kept.md", "kept.png"]
    assert json.loads(files[0].read_text(encoding="utf-8")) == run
    told = files[1].read_text(encoding="utf-8")
    for part in ("skipped: thinc not installed", "| reference |", "+9.5", "Slowest over fastest: 1.50", "1.050",
                 "1024 MiB", "a copy of it was refused", "What bounds each workload", " 1.25 |", "0.25 ?",
                 "Worst slowdown: 2.5% (fit b, 2 threads); 1 without calm turns", "0.01% of a core",
                 "87.50%", "native  |   250.0 |      1.0 |      7 | 0.875 |",
                 "sklearn |  2000.0 |      8.0 |"):  # fmt: skip
        assert part in told, part
    assert files[2].read_bytes().startswith(b"\x89PNG")
    assert report.text({**run, "works": [], "import": {}, "growth": {}, "threads": {}, "estimators": {}}).startswith(
        "Fashion-MNIST"
    )


def test_imports_are_timed_in_processes_of_their_own() -> None:
    found = start.imports([], 1)
    assert list(found) == ["numpy", "nncore"]
    for figures in found.values():
        assert figures["cpu_ms"] > 0
        assert 0 < figures["best_ms"] <= figures["median_ms"]
        assert figures["megabytes"] > 1
    assert found["nncore"]["megabytes"] > found["numpy"]["megabytes"]


def test_work_grows_as_the_square_of_the_width() -> None:
    for width in growth.WIDTHS:
        work = growth.square(width)
        assert work.sizes == (width, width, width, 10)
        assert work.units * work.flops >= growth.BATCH_FLOPS / 2
        assert work.flops == 2 * 256 * (5 * width * width + 30 * width)


@pytest.mark.skipif(not growth.supported(), reason="/proc and address-space limits are Linux's")
def test_memory_and_a_memmap_beyond_the_limit() -> None:
    small = growth._alone("_memory", 2**12, "float64")
    assert small["data_bytes"] == 8 * 110 * 2**12
    assert 0 <= small["beyond_bytes"] < small["data_bytes"] / 2
    mapped = growth._alone("_memmap", 2**26, 2**25)
    assert mapped["a_copy_was_refused"]
    assert np.isfinite(mapped["loss"])


@pytest.mark.parametrize("name", ["classifier (100,) lbfgs", "classifier (100,) early stopping"])
def test_estimators_are_fitted_alike(name: str) -> None:
    ours, theirs = (estimators.fit(name, side) for side in (True, False))
    assert ours["epochs"] == theirs["epochs"] == estimators.FITS[name][1]["max_iter"]
    assert ours["score"] == pytest.approx(theirs["score"], abs=0.03)
    assert min(ours["seconds"], ours["cpu"]) > 0
    assert estimators.measure(["torch"], quick=True) == {}


def test_accuracy_is_the_share_of_largest_outputs() -> None:
    weights = initial_weights((3, 4, 2))
    x = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    hidden = np.maximum(x @ weights[0] + weights[1], 0)
    best = (hidden @ weights[2] + weights[3]).argmax(axis=1)
    assert accuracy.accuracy(weights, x, best) == 1
    best[:10] = 1 - best[:10]
    assert accuracy.accuracy(weights, x, best) == pytest.approx(0.8)
    assert accuracy.WORK.batch * accuracy.WORK.steps == 60_000
