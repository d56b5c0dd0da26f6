"""The arguments of `compile`, made ready: an optimizer, a loss for each output, and metrics."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from rnnkit import losses, metrics, optimizers
from rnnkit.arguments import is_own, real_number
from rnnkit.steps.nesting import leaves_of, numbered
from rnnkit.training.batches import is_flat
from rnnkit.training.of_batch import JointObjective, OfBatch, objective_of


class Compiled:
    """Optimizer, metrics and objectives of a model: one, or None, for each output, or others at these `places`."""

    given_loss: Any = None  # as given by the program
    steps_made = 0  # batches of a training step of a program's own

    def __init__(self, outputs: Sequence[str], optimizer, loss, loss_weights, plain, weighted, wanted, nesting=0):
        self.options = wanted  # the keywords of all gradients
        self.optimizer = optimizers.get(optimizer)
        self.outputs = list(outputs)
        terms = _terms(loss, loss_weights, self.outputs, nesting)
        self.places = [place for place, *_ in terms]
        self.objectives = [None if one is None else _objective(place, one) for place, one, *_ in terms]
        self.loss_weights = [real_number(one, "a weight in loss_weights") for _, _, one, _ in terms]
        self._terms = [name for *_, name in terms]
        given = {place: one for place, one, *_ in reversed(terms) if isinstance(place, int)}
        self.metrics: list[tuple] = []  # name in logs, output's number, metric, whether sample weights count
        for of, counts in ((plain, False), (weighted, True)):
            for k, several in enumerate(_metrics_per_output(of, self.outputs)):
                loss = None if given.get(k) is None else losses.get(given[k])
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

    @property
    def is_by_output(self) -> bool:
        """Return whether each output has one objective or None."""
        return self.places == list(range(len(self.outputs)))

    def losses_alone(self) -> Compiled:
        """Return the same without optimizer and metrics."""
        found = copy.copy(self)
        del found.optimizer
        found.metrics = []
        return found

    def get_config(self) -> dict:
        """Return arguments of `compile` that make the same, as JSON values; a ValueError for one that has no name."""
        if not self.is_by_output:
            raise ValueError("expected one loss for each output, which can be written; got several, or one of several")
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
        parts = dict.fromkeys(f"{name}_loss" for name in self.parts if name)
        return ["loss", *parts, *(name for name, *_ in self.metrics)]

    @property
    def parts(self) -> list[str | None]:
        """The name of each loss that is logged by itself, which is so if there are several; else None."""
        several = sum(map(bool, self.objectives)) > 1
        return [name if several and one else None for name, one in zip(self._terms, self.objectives, strict=True)]


def _named(loss):
    """Return the part of a loss that a configuration may name."""
    return loss.function if isinstance(loss, OfBatch) else loss


def _objective(place, loss):
    """Return the objective of a loss of one output, or of nested ones."""
    if isinstance(place, int):
        return objective_of(losses.get(loss))
    if callable(loss) and not isinstance(loss, losses.Loss):
        return JointObjective(loss, place)
    count = len(leaves_of(place))
    raise ValueError(f"expected a loss for each of {count} outputs, or a function of nested arrays; got {loss!r}")


def _terms(given, weights, outputs, nesting) -> list[tuple]:
    """Return for each loss the place of its output, or nested ones, the loss or None, its weight, and its name."""
    named = _is_named(given)
    inside = given.values() if named else given if isinstance(given, (list, tuple)) else ()
    by_output = set(given) <= set(outputs) if named else len(inside) == len(outputs)
    deep = any(isinstance(one, (list, tuple)) or _is_named(one) for one in inside)
    if not inside or isinstance(nesting, int) or not (deep or not (by_output or is_flat(nesting))):
        weights = _per_output(1.0 if weights is None else weights, outputs, "loss_weights", 1.0)
        return list(zip(range(len(outputs)), _per_output(given, outputs, "loss"), weights, outputs, strict=True))
    if named and by_output:
        nesting = dict(zip(outputs, leaves_of(nesting), strict=True))
    flat = leaves_of(given)
    factors = [1.0] * len(flat) if weights is None else leaves_of(weights)
    if len(factors) != len(flat):
        raise ValueError(f"expected loss_weights nested as the losses, {len(flat)} numbers; got {len(factors)}")
    found = []
    for place, number, path in _placed(numbered(given), nesting):
        numbers = leaves_of(place)
        name = "_".join(map(str, path) if path and isinstance(path[0], str) else [outputs[k] for k in numbers])
        if len(numbers) == 1:
            place, name = numbers[0], outputs[numbers[0]]
        if flat[number] is not None:
            found.append((place, flat[number], factors[number], name))
    return found


def _placed(numbers, nesting, path=()):
    """Yield nested outputs, the number of a loss of them, and the keys that lead to the outputs."""
    listed = isinstance(numbers, (list, tuple))
    if isinstance(numbers, int):
        yield nesting, numbers, path
    elif listed and is_flat(numbers) and len(numbers) == len(leaves_of(nesting)):
        yield from ((place, number, path) for place, number in zip(leaves_of(nesting), numbers, strict=True))
    elif listed and not isinstance(nesting, type(numbers)):  # several of the same outputs
        for one in numbers:
            yield from _placed(one, nesting, path)
    else:
        known = nesting if isinstance(nesting, Mapping) else range(len(nesting)) if listed else ()
        for key in range(len(numbers)) if listed else numbers:
            if key not in known:
                raise ValueError(f"expected losses nested as the outputs, {nesting}, got one of {key!r}")
            yield from _placed(numbers[key], nesting[key], (*path, key))


def _is_named(given) -> bool:
    return isinstance(given, Mapping) and "class_name" not in given


def _per_output(given, outputs, what, default=None) -> list:
    """Return an entry for each output, from a value for all, or values in order or by name."""
    if _is_named(given):
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
