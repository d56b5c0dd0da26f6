"""Updates of weights in fixed memory, which a recording repeats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from operator import is_
from typing import Any

import numpy as np

from rnnkit.backends.shared.call import Result
from rnnkit.layers.support.recording import LARGEST, Recording, Unrepeatable, noting, plain
from rnnkit.layers.support.runner import Runner
from rnnkit.opaque import opaque
from rnnkit.optimizers.group import Group
from rnnkit.steps.weight_options import PLAIN, WeightOptions

_MEMORY = "given slots gradient gradient_views own scales".split()  # of a group


@dataclass(eq=False)
class RecordedUpdate:
    """A computed update of a recording; `finish` replaces weights and slots by its results."""

    optimizer: Any
    groups: Sequence[Group]
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


class ApplyRunner(Runner):
    """The recorded updates of `Optimizer.apply`, of weights in memory that stays; large ones aren't recorded."""

    _long, _may_be_longer = math.inf, False

    def __init__(self) -> None:
        super().__init__()
        self._in_place: Any = None  # `UpdateInPlace`, once an update is tried
        self._left: tuple[Any, list] = None, []  # a kind, and its weights whose numbers are in place
        self._keys: dict[tuple, int] = {}
        self._last: tuple = (), ()  # what a key stands for, and the key: to compare takes less time than to hash

    def __reduce__(self):
        return ApplyRunner, ()

    def apply(self, optimizer, weights: Mapping[str, np.ndarray], gradients: Mapping) -> Any:
        """Return new read-only weights after an update; None, with nothing changed, if no recording serves it."""
        arrays = list[Any](map(gradients.get, weights))
        if set(map(type, arrays)) != {np.ndarray}:
            return None
        shapes, strides = tuple([array.shape for array in arrays]), tuple([array.strides for array in arrays])
        clips, dtypes = (optimizer.clipnorm is None, optimizer.global_clipnorm is None), [one.dtype for one in arrays]
        known, key = self._last
        if (given := (tuple(weights), clips, shapes, strides, tuple(dtypes))) != known:
            key = (self._keys.setdefault(given, len(self._keys)),)
            self._last = given, key
        return self.serve(key, optimizer, _applied, arrays, (weights, gradients), {})

    def _layers(self, subject):
        return []

    def _largest(self, subject):
        return LARGEST

    def _holds(self, subject):
        if self._in_place is not None:
            if self._in_place.known is subject._groups:
                return True
            self._in_place = None
            return False
        if subject._groups is not None and UpdateInPlace.bytes_for(subject) <= LARGEST:
            self._in_place, self._left = UpdateInPlace(subject), (None, [])
        return True

    def _check(self, subject, arrays):
        if self._in_place is None:
            raise Unrepeatable(f"it holds more than {LARGEST:,} bytes")

    def _states(self, subject):
        return subject._iterations, [(group._weights, group._views, group.slots) for group in subject._groups or ()]

    def _restore(self, subject, states):
        subject._iterations = states[0]
        for group, kept in zip(subject._groups or (), states[1], strict=True):
            group.keep(*kept)

    def _record(self, kind, subject, call, arguments, keywords):
        from rnnkit.execution.layer_kernels import Copies  # takes the compiler with it

        (weights, gradients), in_place = arguments, self._in_place
        views = {name: view for group in in_place.groups for name, view in group.gradient_views.items()}
        kinds = [(view.shape, view.dtype) for view in map(views.__getitem__, weights)]
        given = list(map(gradients.__getitem__, weights))
        if [(one.shape, one.dtype) for one in given] != kinds or not all(one.flags.c_contiguous for one in given):
            raise Unrepeatable("a gradient is cast")
        self._left = None, []
        in_place.load(weights)
        for name, view in views.items():
            view[...] = gradients[name]
        with kind.recording:
            update = in_place.record(kind.recording, views, dict.fromkeys(weights, PLAIN))
        kind.own = Copies(list(map(views.__getitem__, weights))), update, kinds
        return update

    def _again(self, kind, subject, arrays, arguments):
        (copies, update, kinds), (weights, _) = kind.own, arguments
        (loaded, left), given = self._left, weights.values()
        if loaded is not kind or not self._in_place.shows() or not all(map(is_, given, left)):
            if [(array.shape, array.dtype) for array in given] != kinds:
                raise Unrepeatable("a weight has another shape or dtype than its gradient")
            self._left = None, []  # invalid until the update has succeeded
            self._in_place.load(weights)
        copies(arrays)
        kind.recording.repeat()
        if not update.is_finite():
            raise Unrepeatable("a number isn't finite")
        return update

    def _agrees(self, kind, subject, results, states):
        self._restore(subject, states[1])
        weights, update = results
        return update.is_as(weights)

    def _give(self, kind, subject, call, arrays, arguments, keywords):
        self._again(kind, subject, arrays, arguments).finish()
        found = self._in_place.show()
        found = {name: found[name] for name in arguments[0]}
        self._left = kind, list(found.values())
        return found


def _applied(optimizer: Any, weights, gradients) -> dict[str, np.ndarray]:
    return optimizer._applied(weights, gradients)


class GroupInPlace(Group):
    """The weights of a group in fixed memory."""

    def __init__(self, known: Group):
        super().__init__(known.optimizer, known.rows)
        self.given, self._programs = known.rows.zeros(), known._programs

    def _share(self, shared, now):
        names, now = tuple(now), self.optimizer._now()  # of this update
        if tuple(now) != names:
            raise Unrepeatable("the rule reads other coefficients")
        super()._share(shared, now)


class UpdateInPlace:
    """Weights and slots in fixed memory, of an optimizer that has made an update.

    `load` copies them there and `unload` returns them; in between, the optimizer keeps the earlier slots.
    """

    def __init__(self, optimizer: Any):
        assert optimizer._groups is not None, "the first update was made"
        self.optimizer, self.known = optimizer, optimizer._groups
        self.groups = list(map(GroupInPlace, self.known))
        self._slots = [group.slots for group in self.groups]
        self.weights: dict[str, np.ndarray] = {}  # read-only views, changed by every update
        for group in self.groups:
            self.weights |= group.rows.views(group.given)
        for view in self.weights.values():
            view.flags.writeable = False

    @staticmethod
    def bytes_for(optimizer: Any) -> int:
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
        return all(map(is_, [known.slots for known in self.known], self._slots))

    def record(
        self, recording: Recording, gradients: Mapping, weight_options: Mapping[str, WeightOptions]
    ) -> RecordedUpdate:
        """Compute an update whose operations are recorded."""
        optimizer, results = self.optimizer, []
        with ExitStack() as stack:
            for group in self.groups:
                recording.give(group.given, *group.slots, group.gradient, group.own)
                group.take_options(weight_options)
                stack.enter_context(noting(group, *_MEMORY))
                group.take_gradients(gradients)
            if optimizer.clipnorm or optimizer.global_clipnorm:
                given = [array for group in self.groups for array in (group.given, group.gradient, group.own)]
                written = [group.scales for group in self.groups]
                opaque(lambda *_: optimizer._scale(self.groups), *given, writes=written)
            now = optimizer._now()
            for group in self.groups:
                result = group.run(now)
                if not recording.knows(result.last):
                    raise Unrepeatable("the optimizer's rule isn't traced")
                group.constrain(result.states[0], weight_options)
                results.append(replace(result, last=plain(result.last), states=plain(result.states)))
        return RecordedUpdate(optimizer, self.groups, results)
