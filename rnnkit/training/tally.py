"""Sums of loss and metrics over batches."""

from __future__ import annotations

import copy

import numpy as np

from rnnkit.arguments import is_own
from rnnkit.training.batches import Batch
from rnnkit.training.compiled import Compiled


class Tally:
    """Sums over batches, whose means over all used entries don't depend on how batches are cut."""

    def __init__(self, compiled: Compiled):
        self.compiled = compiled
        self.totals = [0.0] * len(compiled.objectives)
        self.counts = [0.0] * len(compiled.objectives)
        self.penalty, self.batches = 0.0, 0
        # Copies: a callback may evaluate the model in the midst of an epoch.
        self.metrics = [(name, k, copy.copy(metric), weighted) for name, k, metric, weighted in compiled.metrics]
        for _, _, metric, _ in self.metrics:
            metric.reset()
        self.may_keep = any(may_keep(metric) for _, _, metric, _ in self.metrics)

    def add(self, batch: Batch, outputs, masks, parts, penalty: float) -> None:
        """Add a batch: its outputs and masks, and the `Part` of each output's loss, or None."""
        for k, part in enumerate(parts):
            if part is not None:
                self.totals[k] += part.total
                self.counts[k] += part.count
        self.penalty += penalty
        self.batches += 1
        targets = batch.y or [None] * len(outputs)
        for _, k, metric, weighted in self.metrics:
            weight = batch.weights[k] if weighted and batch.weights is not None else None
            if targets[k] is None:
                raise ValueError(
                    f"expected a target for the output {self.compiled.outputs[k]!r}, which the metric {metric.name!r} "
                    "looks at; got None"
                )
            metric.update(targets[k], outputs[k], masks[k], weight)

    @property
    def loss(self) -> float:
        """The weighted sum of all outputs' losses, and the weights' penalties."""
        means = zip(self.compiled.loss_weights, self.totals, self.counts, strict=True)
        return sum(w * total / count for w, total, count in means if count and w) + self.penalty / max(1, self.batches)

    def logs(self) -> dict[str, float]:
        """Return loss and metrics by the names of `Compiled.names`."""
        found = {"loss": self.loss}
        for name, total, count in zip(self.compiled.parts, self.totals, self.counts, strict=True):
            if name:
                found[f"{name}_loss"] = total / count if count else 0.0
        return found | {name: _number(metric) for name, _, metric, _ in self.metrics}


def may_keep(metric) -> bool:
    """Return whether a metric may keep the arrays of an update, as a user's may and rnnkit's own don't."""
    function = getattr(metric, "function", None)
    own = function is None or (is_own(function) and getattr(function, "__closure__", metric) is None)
    return not (own and is_own(type(metric)))


def _number(metric) -> float:
    found = np.asarray(metric.result())
    if found.size != 1:
        raise ValueError(f"expected a metric that is one number to train with, {metric.name!r} has {found.size}")
    return float(found.item())
