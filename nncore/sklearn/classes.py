"""Classes as users name them, and as networks know them: by number."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

Array = np.ndarray[Any, Any]


class Classes(NamedTuple):
    """The classes of one target, or several labels of which each row has some."""

    labels: Array
    """The classes in order; of several labels, their numbers."""
    several: bool

    @staticmethod
    def of(owner: str, y: Any) -> Classes:
        """Those that ``y`` holds: one class a row, or 0 and 1 in shape ``(rows, labels)``.

        Raises:
            ValueError: where y holds neither.
        """
        check_classification_targets(y)
        kind = type_of_target(y)
        if kind == "multiclass-multioutput":
            raise ValueError(
                f"{owner}: y must hold one class a row, or 0 and 1 in shape (rows, labels). Received: shape {y.shape} "
                "with other values."
            )
        several = kind.startswith("multilabel")
        return Classes(np.arange(y.shape[1]) if several else unique_labels(y), several)

    @staticmethod
    def named(owner: str, known: Classes | None, y: Any, classes: Any) -> Classes:
        """Those that a call of ``partial_fit`` goes by: the ``known`` ones, or ``classes`` in the first call.

        Raises:
            ValueError: where neither is there, or they differ.
        """
        if classes is None:
            if known is None:
                raise ValueError(f"{owner}: classes must be passed on the first call to partial_fit. Received: None.")
            return known
        labels = unique_labels(classes)
        if known is not None and not np.array_equal(known.labels, labels):
            raise ValueError(f"{owner}: classes must be those of the first call, {known.labels}. Received: {labels}.")
        return known or Classes(labels, type_of_target(y).startswith("multilabel"))

    def codes(self, owner: str, y: Any) -> Array:
        """The number of each row's class, int64 ``(rows,)``; of several labels 0 and 1, ``(rows, labels)``.

        Raises:
            ValueError: for classes that are not among these.
        """
        found = Classes.of(owner, y)
        unseen = np.setdiff1d(found.labels, self.labels)
        if found.several != self.several or len(unseen) or (self.several and len(found.labels) != len(self.labels)):
            what = f"{len(self.labels)} labels, 0 and 1 each" if self.several else f"classes among {self.labels}"
            raise ValueError(
                f"{owner}: y must hold {what}, as before. Received: `y` has classes not in `self.classes_`: "
                f"{unseen if len(unseen) else found.labels}."
            )
        if self.several:
            return np.asarray(y, np.int64)
        codes: Array = np.searchsorted(self.labels, y)
        return codes

    def weights(self, owner: str, y: Any, class_weight: Any) -> Array:
        """float32 ``(rows,)``: the weight of each row's class; of several labels, the product of theirs.

        Args:
            owner: Who asks.
            y: Targets whose classes are these.
            class_weight: ``"balanced"``: as much less as there are more rows of a class in y; a dict of class to
                weight, 1 for those it does not name; for several labels a list of dicts.

        Raises:
            ValueError: for anything else, and for classes that are not among these.
        """
        if isinstance(class_weight, dict) and not self.several:
            known = self.labels.tolist()
            unknown = [label for label in class_weight if label not in known]
            if unknown:
                raise ValueError(
                    f"{owner}: class_weight must name classes among {known}. Received: class_weight for {unknown}."
                )
            table = np.array([class_weight.get(label, 1.0) for label in known], np.float32)
            found: Array = table[self.codes(owner, y)]
            return found
        return np.asarray(compute_sample_weight(class_weight, y), np.float32)

    def decide(self, outputs: Array) -> Array:
        """The codes that probabilities speak for; one column is that of the second class."""
        best: Array = outputs.argmax(axis=1)
        if outputs.shape[1] > 1 and not self.several:
            return best
        chosen: Array = (outputs > 0.5).astype(np.int64)
        return chosen if self.several else np.minimum(chosen[:, 0], len(self.labels) - 1)

    def decode(self, codes: Array) -> Array:
        """What users call the codes."""
        return codes if self.several else self.labels[codes]

    def probabilities(self, outputs: Array) -> Array:
        """One column a class."""
        if outputs.shape[1] > 1 or self.several:
            return outputs
        if len(self.labels) == 1:
            return np.ones_like(outputs)
        return np.concatenate([1 - outputs, outputs], axis=1)
