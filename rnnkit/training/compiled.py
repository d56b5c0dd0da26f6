"""The arguments of `compile`, made ready: an optimizer, a loss for each output, and metrics."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from rnnkit import losses, metrics, optimizers
from rnnkit.arguments import is_own, real_number
from rnnkit.training.of_batch import OfBatch, objective_of


class Compiled:
    """Optimizer, objectives and metrics of a model; an objective, or None, and a weight of it for each output."""

    given_loss: Any = None  # as given by the program
    steps_made = 0  # batches of a training step of a program's own

    def __init__(self, outputs: Sequence[str], optimizer, loss, loss_weights, plain, weighted, wanted):
        self.options = wanted  # the keywords of all gradients
        self.optimizer = optimizers.get(optimizer)
        self.outputs = list(outputs)
        given = _per_output(loss, self.outputs, "loss")
        self.objectives = [None if one is None else objective_of(losses.get(one)) for one in given]
        weights = _per_output(1.0 if loss_weights is None else loss_weights, self.outputs, "loss_weights", 1.0)
        self.loss_weights = [real_number(one, "a weight in loss_weights") for one in weights]
        self.metrics: list[tuple] = []  # name in logs, output's number, metric, whether sample weights count
        for of, counts in ((plain, False), (weighted, True)):
            for k, several in enumerate(_metrics_per_output(of, self.outputs)):
                loss = None if given[k] is None else losses.get(given[k])
                for one in several:
                    metric = metrics.get(one, loss)
                    if any(metric is other for _, _, other, _ in self.metrics):
                        metric = copy.deepcopy(metric)  # each output has sums of its own
                    prefix = "" if len(self.outputs) == 1 else f"{self.outputs[k]}_"
                    self.metrics.append((self._free(prefix, metric.name, counts), k, metric, counts))

    @property
    def runs_code(self) -> bool:
        """Return whether code of the user's that may look at the model runs at a batch: in a metric or a schedule."""
        given = [getattr(metric, "function", metric) for _, _, metric, _ in self.metrics]
        given += [self.optimizer._rate] * callable(self.optimizer._rate)
        return not all(is_own(one if hasattr(one, "__name__") else type(one)) for one in given)

    def losses_alone(self) -> Compiled:
        """Return the same without optimizer and metrics."""
        found = copy.copy(self)
        del found.optimizer
        found.metrics = []
        return found

    def get_config(self) -> dict:
        """Return arguments of `compile` that make the same, as JSON values; a ValueError for one that has no name."""
        configs: dict[bool, list[list]] = {counts: [[] for _ in self.outputs] for counts in (False, True)}
        for _, k, metric, counts in self.metrics:
            configs[counts][k].append(metrics.config_of(metric))
        return {
            "optimizer": optimizers.config_of(self.optimizer),
            "loss": [None if one is None else losses.loss_config(_named(one.loss)) for one in self.objectives],
            "loss_weights": self.loss_weights,
            "metrics": configs[False],
            "weighted_metrics": configs[True],
            **self.options,
        }

    def _free(self, prefix: str, name: str, weighted: bool) -> str:
        taken = {one[0] for one in self.metrics}
        if weighted and prefix + name in taken:
            name = f"weighted_{name}"
        found, i = prefix + name, 1
        while found in taken:
            found, i = f"{prefix}{name}_{i}", i + 1
        return found

    @property
    def names(self) -> list[str]:
        """The names of the results of `evaluate`, in order."""
        return ["loss", *(f"{name}_loss" for name in self.parts if name), *(name for name, *_ in self.metrics)]

    @property
    def parts(self) -> list[str | None]:
        """The name of each output whose loss is logged by itself, which is so if several have one; else None."""
        several = sum(map(bool, self.objectives)) > 1
        return [name if several and one else None for name, one in zip(self.outputs, self.objectives, strict=True)]


def _named(loss):
    """Return the part of a loss that a configuration may name."""
    return loss.function if isinstance(loss, OfBatch) else loss


def _per_output(given, outputs, what, default=None) -> list:
    """Return an entry for each output, from a value for all, or values in order or by name."""
    if isinstance(given, Mapping) and "class_name" not in given:
        if unknown := [name for name in given if name not in outputs]:
            raise ValueError(f"expected {what} by outputs' names, {', '.join(outputs)}; got {unknown[0]!r}")
        return [given.get(name, default) for name in outputs]
    if isinstance(given, (list, tuple)):
        if len(given) != len(outputs):
            raise ValueError(f"expected {what} with {len(outputs)} entries, one per output; got {len(given)}")
        return list(given)
    return [given] * len(outputs)


def _metrics_per_output(given, outputs) -> list[list]:
    if given is None:
        return [[] for _ in outputs]
    if isinstance(given, Mapping):
        found = _per_output(given, outputs, "metrics", [])
    elif not isinstance(given, (list, tuple)):
        found = [given] * len(outputs)
    elif len(given) == len(outputs) and any(isinstance(one, (list, tuple)) for one in given):
        found = list(given)
    else:
        found = [list(given)] * len(outputs)
    return [list(one) if isinstance(one, (list, tuple)) else [] if one is None else [one] for one in found]
