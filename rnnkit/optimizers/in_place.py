"""Updates of weights in fixed memory, which a recording repeats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import is_
from typing import TYPE_CHECKING

import numpy as np

from rnnkit.backends.shared.call import Result
from rnnkit.optimizers.group import Group
from rnnkit.recording import Recording, Unrepeatable, operation, plain
from rnnkit.steps.weight_options import PLAIN, WeightOptions

if TYPE_CHECKING:
    from rnnkit.optimizers.optimizer import Optimizer


@dataclass(eq=False)
class RecordedUpdate:
    """A computed update of a recording; `finish` replaces weights and slots by its results."""

    optimizer: Optimizer
    groups: list[Group]
    results: list[Result]  # results of the groups

    def __post_init__(self):
        from rnnkit.execution.layer_kernels import Copies, finite_test  # takes the compiler with it

        self._tests = [finite_test(result.last) for result in self.results]
        pairs = zip(self.groups, self.results, strict=True)
        new = [one for g, r in pairs for one in zip((g.given, *g.slots), r.states, strict=True)]
        self._copies = Copies(*zip(*new, strict=True))

    def is_finite(self) -> bool:
        """Return whether all gradients and new weights are finite."""
        if all(test() for test in self._tests):
            return True
        pairs = zip(self.groups, self.results, strict=True)
        return not any(group.not_finite(what, result) for group, result in pairs for what in (0, 1))

    def is_as(self, weights: Mapping[str, np.ndarray]) -> bool:
        """Return whether the update gives these weights, and the optimizer's slots, bit for bit."""
        same = True
        for group, result, known in zip(self.groups, self.results, self.optimizer._groups or (), strict=True):
            rows, *slots = result.states
            pairs = [(view, weights[name]) for name, view in group.rows.views(rows).items()]
            for slot, own in zip(slots, known.slots, strict=True):
                pairs += zip(group.rows.views(slot).values(), group.rows.views(own).values(), strict=True)
            same = same and all(one.tobytes() == other.tobytes() for one, other in pairs)
        return same

    def finish(self) -> None:
        """Apply the update."""
        iterations, put = self.optimizer._iterations + 1, self._copies.run
        put()  # one call, not interrupted by Ctrl-C
        self.optimizer._iterations = iterations


class RepeatedUpdates:
    """Repetitions of a recorded update for arrays of the same kinds, used by `Optimizer.apply`.

    It needs an optimizer that has made an update, and its weights; updates that can't be recorded raise `Unrepeatable`.
    """

    def __init__(self, optimizer: Optimizer, weights: Mapping[str, np.ndarray]):
        from rnnkit.execution.layer_kernels import Copies  # takes the compiler with it

        self._in_place, recording = UpdateInPlace(optimizer), Recording()
        self._names, self._clips = list(weights), self._clipping()
        places = {name: place for group in self._in_place.groups for name, place in group.gradient_views.items()}
        self._places = [places[name] for name in self._names]
        self._kinds = [array.shape for array in self._places], [array.dtype for array in self._places]
        self._strides = [np.empty(array.shape, array.dtype).strides for array in self._places]  # in C order
        self._copy = Copies(self._places)
        self._in_place.load(weights)
        for place in self._places:
            place[...] = 0
        with recording:
            self._update = self._in_place.record(recording, places, dict.fromkeys(self._names, PLAIN))
        self._recording = recording
        self._left = list(map(self._in_place.show().__getitem__, self._names))

    def _clipping(self) -> tuple:
        optimizer = self._in_place.optimizer
        return optimizer.clipnorm is None, optimizer.global_clipnorm is None

    def apply(self, weights: Mapping[str, np.ndarray], gradients: Mapping) -> dict[str, np.ndarray] | None:
        """Return new read-only weights after an update; None, with nothing changed, if the recording doesn't apply."""
        names, known = self._names, self._in_place.known
        if list(weights) != names or self._in_place.optimizer._groups is not known or self._clips != self._clipping():
            return None
        try:
            arrays = [gradients[name] for name in names]
        except KeyError:
            return None
        if set(map(type, arrays)) != {np.ndarray} or [array.strides for array in arrays] != self._strides:
            return None
        if ([array.shape for array in arrays], [array.dtype for array in arrays]) != self._kinds:
            return None
        given = list(weights.values())
        if len(self._left) != len(given) or not all(map(is_, given, self._left)) or not self._in_place.shows():
            if [(array.shape, array.dtype) for array in given] != list(zip(*self._kinds, strict=True)):
                return None
            self._left = []  # invalid until the update has succeeded
            self._in_place.load(weights)
        self._copy(arrays)
        try:
            self._recording.repeat()
        except Unrepeatable:
            return None
        if not self._update.is_finite():
            return None
        self._update.finish()
        found = self._in_place.show()
        self._left = [found[name] for name in names]
        return found if len(known) == 1 else dict(zip(names, self._left, strict=True))


class UpdateInPlace:
    """Weights and slots in fixed memory, of an optimizer that has made an update.

    `load` copies them there and `unload` returns them; in between, the optimizer keeps the earlier slots.
    """

    def __init__(self, optimizer: Optimizer):
        assert optimizer._groups is not None, "the first update was made"
        self.optimizer, self.known = optimizer, optimizer._groups
        self.groups = [group.in_place() for group in self.known]
        self.weights: dict[str, np.ndarray] = {}  # read-only views, changed by every update
        for group in self.groups:
            self.weights |= group.rows.views(group.given)
        for view in self.weights.values():
            view.flags.writeable = False

    @staticmethod
    def bytes_for(optimizer: Optimizer) -> int:
        """Return the memory needed: old and new weights and slots, and gradients."""
        rows = sum(
            group.rows.count * group.rows.length * group.rows.dtype.itemsize for group in optimizer._groups or ()
        )
        return rows * (3 + 2 * len(optimizer._all_slots))

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Set these weights and the optimizer's slots."""
        for group, known in zip(self.groups, self.known, strict=True):
            known.take_weights(weights)
            for memory, array in zip((group.given, *group.slots), (known.given, *known.slots), strict=True):
                np.copyto(memory, array)

    def unload(self) -> dict[str, np.ndarray]:
        """Return the weights as new read-only arrays, and give the optimizer their slots."""
        found = self.show()
        for known in self.known:
            known.slots = tuple(map(np.array, known.slots))
        return found

    def show(self) -> dict[str, np.ndarray]:
        """Return the weights as `unload`; the optimizer's slots become those in place."""
        found: dict[str, np.ndarray] = {}
        for group, known in zip(self.groups, self.known, strict=True):
            rows = group.given.copy()
            rows.setflags(write=False)
            views = group.rows.views(rows)
            known.keep(rows, views, group.slots)
            found = views if len(self.known) == 1 else found | views
        return found

    def shows(self) -> bool:
        """Return whether the optimizer's slots are those in place."""
        return all(known.slots is group.slots for group, known in zip(self.groups, self.known, strict=True))

    def record(
        self, recording: Recording, gradients: Mapping, weight_options: Mapping[str, WeightOptions]
    ) -> RecordedUpdate:
        """Compute an update whose operations are recorded."""
        for group in self.groups:
            recording.give(group.given, *group.slots, group.gradient, group.own)
            group.take_options(weight_options)
            group.take_gradients(gradients)
        optimizer = self.optimizer
        if optimizer.clipnorm or optimizer.global_clipnorm:
            given = [array for group in self.groups for array in (group.given, group.gradient, group.own)]
            written = [group.scales for group in self.groups]
            operation(lambda *_: optimizer._scale(self.groups), *given, writes=written)
        now, results = optimizer._now(), []
        for group in self.groups:
            result = group.run(now)
            if not recording.knows(result.last):
                raise Unrepeatable("the optimizer's rule isn't traced")
            group.constrain(result.states[0], weight_options)
            results.append(replace(result, last=plain(result.last), states=plain(result.states)))
        return RecordedUpdate(optimizer, self.groups, results)
