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
from benchmarks import harness, report
from benchmarks.harness import Measurement, Timing, Worker, WrongResultError, disagreement, measure
from benchmarks.workloads import WORKLOADS, Fit, Product, prepare, select

ROOT = Path(__file__).parent.parent
EXAMPLE = WORKLOADS[0]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m benchmarks`` with these arguments, from the checkout."""
    argv = [sys.executable, "-m", "benchmarks", *arguments]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False)


def test_the_command_prints_a_table_and_writes_json(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    done = run("--quick", "--only", "100-64-10,grad_x", "--json", str(path))
    assert done.returncode == 0, done.stderr
    for part in ("processor", "caches", "numpy", "blas", "GB/s", "of peak", "numpy / native"):
        assert part in done.stdout, part
    written = json.loads(path.read_text())
    assert [work["name"] for work in written["works"]] == [EXAMPLE.name, "kernel dense_grad_x 512x512x512"]
    for work in written["works"]:
        assert work["name"] in done.stdout
        assert 0 <= work["error"] <= work["tolerance"] < 1e-3
        assert 0 < work["share_of_peak"] <= 1.1
        for side in ("native", "numpy"):
            times = work["sides"][side]
            assert len(times["runs_us"]) == command.QUICK_ROUNDS
            assert 0 < times["best_us"] == min(times["runs_us"]) <= times["median_us"]
        best = work["sides"]["native"]["best_us"]
        assert work["gflops"] == pytest.approx(work["flops"] / best / 1e3)
    assert set(written["read_gbytes"]) == set(harness.READ_SIZES)
    assert all(rate > 0 for rate in written["read_gbytes"].values())


def test_operations_are_counted_by_hand() -> None:
    # forwards 100x64 and 64x10, weight gradients likewise, and the input gradient of the second layer
    assert Fit((100, 64, 10), 32, "sgd", 1, 1).flops == 2 * 32 * (2 * 100 * 64 + 3 * 64 * 10)
    assert Product("dense", 3, 5, 7).flops == 2 * 3 * 5 * 7


def test_words_choose_workloads() -> None:
    assert select(None) == WORKLOADS
    assert select("kernel, 100-64-10") == (EXAMPLE, *[work for work in WORKLOADS if isinstance(work, Product)])
    done = run("--only", "covolution")
    assert done.returncode == 2
    assert "no workload has 'covolution' in its name. There are:" in done.stderr
    assert EXAMPLE.name in done.stderr


@pytest.mark.parametrize("work", [Fit((7, 5, 3), 4, "adam", 12, 1), Product("dense_grad_w", 9, 5, 7)])
def test_both_sides_start_alike_and_agree(work: Fit | Product) -> None:
    native, reference = (prepare(side, work).result() for side in harness.SIDES)
    assert all(np.array_equal(a, b) for a, b in zip(native[0], reference[0], strict=True))
    assert disagreement(native, reference) < 1e-5


def test_disagreement_is_relative_to_what_the_work_changed() -> None:
    zero, one, off = [np.zeros(4)], [np.ones(4)], [np.full(4, 1.01)]
    assert disagreement((zero, one), (zero, one)) == 0
    assert disagreement((zero, off), (zero, one)) == pytest.approx(0.01)
    assert disagreement((zero, zero), (zero, one)) == 1  # it did nothing
    for wrong in ([np.full(4, np.nan)], [np.ones(3)]):
        assert disagreement(([np.zeros(len(wrong[0]))], wrong), (zero, one)) == float("inf")
    assert disagreement((zero, zero), (zero, zero)) == float("inf")  # nothing was compared


class FakeWorker:
    """A side with results and times of our choosing."""

    def __init__(self, name: str, after: float, seconds: Sequence[float] = (1.0,), peak: float = 1.0) -> None:
        self.name = name
        self._after = after
        self._seconds = list(seconds)
        self._peak = peak
        self.timed = 0

    def ask(self, method: str, *arguments: object) -> object:
        if method == "prepare":
            return [np.zeros(3)], [np.full(3, self._after)]
        if method == "peak":
            return self._peak
        assert method == "time"
        self.timed += 1
        return self._seconds[(self.timed - 1) % len(self._seconds)]


def test_a_wrong_result_is_refused_before_it_is_timed() -> None:
    workers = [FakeWorker("native", 1.0), FakeWorker("numpy", 1.01)]
    with pytest.raises(WrongResultError, match=r"native, numpy must agree to 0\.0001.* Received: 0\.0099"):
        measure(EXAMPLE, workers, 3)  # type: ignore[arg-type]
    assert [worker.timed for worker in workers] == [0, 0]


def test_sides_take_turns_and_the_best_counts() -> None:
    workers = [FakeWorker("native", 1.0, [3e-6, 2e-6, 4e-6], peak=900.0), FakeWorker("numpy", 1.0, [9e-6, 8e-6, 7e-6])]
    m = measure(EXAMPLE, workers, 3)  # type: ignore[arg-type]
    assert m.timings["native"].seconds == [3e-6, 2e-6, 4e-6]
    assert (m.timings["native"].best, m.timings["native"].median) == (2e-6, 3e-6)
    assert m.gflops == pytest.approx(EXAMPLE.flops / 2e-6 / 1e9)
    assert m.share == pytest.approx(m.gflops / 900)
    assert m.ratio("numpy") == pytest.approx(3.5)
    assert m.paired_ratio("numpy") == pytest.approx(3)  # the median of 9/3, 8/2 and 7/4


def measured(share: float, ratio: float) -> Measurement:
    """A measurement of the example with this share of the peak and this ratio."""
    seconds = 1e-5
    peak = EXAMPLE.flops / seconds / 1e9 / share
    return Measurement(EXAMPLE, 0.0, {"native": Timing([seconds]), "numpy": Timing([seconds * ratio])}, peak)


@pytest.mark.parametrize(
    ("share", "ratio", "lost"),
    [(0.6, 8.0, False), (0.2, 8.0, False), (0.6, 2.0, False), (0.41, 5.9, True), (0.2, 2.0, True)],
)
def test_a_loss_is_one_by_every_yardstick(share: float, ratio: float, lost: bool) -> None:
    floors = {EXAMPLE.name: {"peak": 0.42, "numpy": 6.0}}
    text = report.loss(measured(share, ratio), floors)
    assert (text is not None) is lost
    if text is not None:
        assert text == f"{EXAMPLE.name}: peak {share:.3g} (floor 0.42), numpy {ratio:.3g} (floor 6)"


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
    assert report.read_floors("avx2") == {EXAMPLE.name: {"peak": 0.6, "numpy": 6.0}}
    assert report.read_floors("avx512") == {EXAMPLE.name: {"peak": 0.3, "numpy": 3.0}}
    assert report.read_floors("neon") == {}


@pytest.mark.parametrize("slow", [0, 1, command.ATTEMPTS - 1, command.ATTEMPTS])
def test_a_loss_is_measured_again_before_it_counts(slow: int, capsys: pytest.CaptureFixture[str]) -> None:
    floors = {EXAMPLE.name: {"peak": 0.42, "numpy": 6.0}}
    first = measured(0.2, 2.0) if slow else measured(0.6, 8.0)
    again = [1e-5] * (slow - 1) + [1e-6]
    workers = [FakeWorker("native", 1.0, again, peak=1e3), FakeWorker("numpy", 1.0, [1e-5])]
    assert command.check([first], workers, 1, floors) == int(slow == command.ATTEMPTS)  # type: ignore[list-item]
    assert workers[0].timed == min(slow, command.ATTEMPTS - 1)
    assert ("Slower than recorded:" in capsys.readouterr().out) is (slow == command.ATTEMPTS)


def test_every_workload_has_floors_for_the_instruction_sets_of_x86() -> None:
    for isa in ("avx512", "avx2", "baseline"):
        floors = report.read_floors(isa)
        assert set(floors) == {work.name for work in WORKLOADS}
        for floor in floors.values():
            assert set(floor) == {"peak", "numpy"}
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
        with Worker("numpy", core) as worker:
            worker.ask("configuration")
            assert os.sched_getaffinity(worker.pid) == {core}
