"""Updates of weights in memory that stays, for a recording to repeat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rnnkit.backends.shared.call import Result
from rnnkit.optimizers.group import Group
from rnnkit.optimizers.optimizer import Optimizer
from rnnkit.recording import Recording, Unrepeatable
from rnnkit.steps.weight_options import WeightOptions


@dataclass(eq=False)
class RecordedUpdate:
    """What a recorded update leaves: it is computed, and takes the place of weights and slots when it is finished.

    Attributes
    ----------
    results : list of Result
        What the update of each group gives.
    new : list of tuple (memory, array)
        Memory of weights and slots, and what comes there.
    """

    optimizer: Optimizer
    groups: list[Group]
    results: list[Result]

    def __post_init__(self):
        pairs = zip(self.groups, self.results, strict=True)
        self.new = [one for g, r in pairs for one in zip((g.given, *g.slots), r.states, strict=True)]

    def is_finite(self) -> bool:
        """Whether all gradients and new weights are finite."""
        return all(
            np.isfinite(result.last).all() or not any(group.not_finite(what, result) for what in (0, 1))
            for group, result in zip(self.groups, self.results, strict=True)
        )

    def is_as(self, weights: Mapping[str, np.ndarray]) -> bool:
        """Whether it gives these weights, and the optimizer's slots, bit for bit."""
        same = True
        for group, result, known in zip(self.groups, self.results, self.optimizer._groups or (), strict=True):
            rows, *slots = result.states
            pairs = [(view, weights[name]) for name, view in group.rows.views(rows).items()]
            for slot, own in zip(slots, known.slots, strict=True):
                pairs += zip(group.rows.views(slot).values(), group.rows.views(own).values(), strict=True)
            same = same and all(one.tobytes() == other.tobytes() for one, other in pairs)
        return same

    def finish(self) -> None:
        """Make the update count."""
        iterations = self.optimizer.iterations + 1
        try:
            self._put()
        except BaseException:  # Ctrl-C in between: the update is whole all the same
            self._put()
            raise
        finally:
            self.optimizer.iterations = iterations

    def _put(self):
        for memory, array in self.new:
            np.copyto(memory, array)


class UpdateInPlace:
    """An optimizer's weights and slots in memory that stays.

    `load` brings them there and `unload` gives them back; between the two the optimizer has those from before.

    Parameters
    ----------
    optimizer : Optimizer
        One that has made an update, and so knows its weights.

    Attributes
    ----------
    weights : dict of str to ndarray
        The weights, read-only; their numbers change with every update.
    """

    def __init__(self, optimizer: Optimizer):
        assert optimizer._groups is not None, "the first update was made"
        self.optimizer, self.known = optimizer, optimizer._groups
        self.groups = [group.in_place() for group in self.known]
        self.weights: dict[str, np.ndarray] = {}
        for group in self.groups:
            self.weights |= group.rows.views(group.given)
        for view in self.weights.values():
            view.flags.writeable = False

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Go on from these weights and from the optimizer's slots."""
        for group, known in zip(self.groups, self.known, strict=True):
            known.take_weights(weights)
            for memory, array in zip((group.given, *group.slots), (known.given, *known.slots), strict=True):
                np.copyto(memory, array)

    def unload(self) -> dict[str, np.ndarray]:
        """The weights as new arrays, read-only; the optimizer has the slots that belong to them."""
        found: dict[str, np.ndarray] = {}
        for group, known in zip(self.groups, self.known, strict=True):
            rows, *slots = (np.array(memory) for memory in (group.given, *group.slots))
            rows.flags.writeable = False
            views = group.rows.views(rows)
            known.keep(rows, views, tuple(slots))
            found |= views
        return found

    def record(
        self, recording: Recording, gradients: Mapping, weight_options: Mapping[str, WeightOptions]
    ) -> RecordedUpdate:
        """Compute an update, each step of it an operation of a recording that is made."""
        for group in self.groups:
            group.give_to(recording)
            group.take_options(weight_options)
            group.take_gradients(gradients)
        optimizer = self.optimizer
        if optimizer.clipnorm or optimizer.global_clipnorm:
            optimizer._scale(self.groups)
            given = [array for group in self.groups for array in group.read_for_squares()]
            recording.note(lambda: optimizer._scale(self.groups), given, [group.scales for group in self.groups])
        now, results = optimizer._now(), []
        for group in self.groups:
            result = group.run(now)
            if not recording.knows(result.last):
                raise Unrepeatable("the optimizer's rule isn't traced")
            group.constrain(result.states[0], weight_options)
            results.append(result)
        return RecordedUpdate(optimizer, self.groups, results)
