"""Whole fits of scikit-learn's perceptrons, by it and by ``nncore.sklearn``, with the same arguments and epochs."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from typing import Any

from benchmarks.harness import SIDES, Worker, core

FITS: dict[str, tuple[str, dict[str, Any]]] = {
    "classifier (100,)": ("MLPClassifier", {"hidden_layer_sizes": (100,), "max_iter": 100}),
    "classifier (100,) batch 32": ("MLPClassifier", {"hidden_layer_sizes": (100,), "max_iter": 30, "batch_size": 32}),
    "classifier (100,) early stopping": (
        "MLPClassifier", {"hidden_layer_sizes": (100,), "max_iter": 100, "early_stopping": True},
    ),
    "classifier (512, 256)": ("MLPClassifier", {"hidden_layer_sizes": (512, 256), "max_iter": 20}),
    "classifier (100,) lbfgs": ("MLPClassifier", {"hidden_layer_sizes": (100,), "max_iter": 40, "solver": "lbfgs"}),
    "regressor (100,)": ("MLPRegressor", {"hidden_layer_sizes": (100,), "max_iter": 100}),
}  # fmt: skip
"""By name, a class and its arguments. The data are scikit-learn's 1,797 digits, a quarter of them held out."""

ROUNDS = 5


def measure(chosen: Sequence[str], quick: bool) -> dict[str, Any]:
    """Seconds of each fit, the best of some rounds in which the sides take turns; nothing without scikit-learn."""
    if "sklearn" not in chosen:
        return {}
    sides = (SIDES[0], "sklearn")
    found: dict[str, Any] = {name: {} for name in FITS}
    with Worker(sides[0], core()) as ours, Worker(sides[1], core()) as theirs:
        for name in FITS:
            for _ in range(1 if quick else ROUNDS):
                for side, worker in zip(sides, (ours, theirs), strict=True):
                    fit = worker.ask("call", __name__, "fit", name, side == sides[0])
                    best = found[name].setdefault(side, fit)
                    if fit["seconds"] < best["seconds"]:
                        found[name][side] = fit
    return found


def fit(name: str, ours: bool) -> dict[str, float]:
    """Fit once: seconds by the clock and on the core, epochs, and the score of the rows held out."""
    from sklearn import neural_network
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    import nncore.sklearn

    kind, arguments = FITS[name]
    x, x_test, y, y_test = train_test_split(*load_digits(return_X_y=True), random_state=0)
    estimator = getattr(nncore.sklearn if ours else neural_network, kind)(
        **arguments, random_state=0, tol=0.0, n_iter_no_change=arguments["max_iter"]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # all epochs are wanted, whether they converge or not
        start, cpu = time.perf_counter(), time.process_time()
        estimator.fit(x / 16, y)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    score = estimator.score(x_test / 16, y_test)
    return {"seconds": seconds, "cpu": cpu, "epochs": float(estimator.n_iter_), "score": score}
