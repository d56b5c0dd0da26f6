"""The runner of updates: a batch of a known kind was recorded once, and is repeated without the Python around it."""

from __future__ import annotations

import math
import sys
from contextlib import nullcontext
from typing import Any, NamedTuple, cast

import numpy as np

from rnnkit.backends.shared.thread_pool import get_num_threads
from rnnkit.circumstances import standing_in
from rnnkit.identity import Same
from rnnkit.layers.support.layer_tree import (
    all_layers,
    all_or_nothing,
    arrays_by_name,
    held_by,
    options_by_name,
    put_arrays,
)
from rnnkit.layers.support.recording import LARGEST, Unrepeatable, noted
from rnnkit.layers.support.runner import Runner, add_key, copied_arrays
from rnnkit.layers.support.watching import call_states, restore, unmoved
from rnnkit.optimizers.in_place import RecordedUpdate, UpdateInPlace
from rnnkit.training.batches import Batch
from rnnkit.training.steps import Stepper, parts_of, sums_of
from rnnkit.training.tally import Tally

_ALONE = 1 << 25  # multiply-adds, some 2 ms: below, two threads gain less than Python takes around an ordinary update


class _Own(NamedTuple):
    """The parts of a recorded update that stay from batch to batch."""

    update: RecordedUpdate
    penalties: list  # pairs of a regularizer and a weight
    changing: list  # layers that draw at each batch, or have moving averages


class UpdateRunner(Runner):
    """The recorded updates of a model, and its weights in memory that stays while batches are repeated.

    Meanwhile the model has its weights from before. `settle` gives it those of the last batch; it is called before
    any code of this thread may read them. A recording has two stages, the losses and the update by them.
    """

    _met, _most, _long, _may_be_longer = 0, 64, math.inf, False  # the first batch compiles programs

    def __init__(self) -> None:
        super().__init__(_ALONE)
        self.of_tests = Runner(lists=True)  # of losses and metrics outside training
        self._in_place: UpdateInPlace | None = None
        self._facts: Any = None  # about the optimizer, and the weights that stay
        self._loaded: Any = None  # the model, while its weights are in place
        self._ahead = False  # whether these weights are newer than the model's

    def __reduce__(self):
        return UpdateRunner, ()

    def train(self, stepper: Stepper, batch: Batch, tally: Tally) -> None:
        """Change the weights by a batch."""
        weights = stepper.class_weight
        key: list[Any] = [get_num_threads(), weights and tuple(weights.items())]
        arrays: list[np.ndarray] = []
        is_known = add_key(batch.parts(), arrays, key)
        if not is_known or self.serve(tuple(key), stepper, _train_anew, arrays, (batch, tally), {}) is None:
            _train_anew(stepper, batch, tally)

    def settle(self) -> None:
        """Give the model the weights of the last batch, as arrays of its own."""
        if self._ahead:
            assert self._in_place is not None, "the weights are in place"
            put_arrays(self._loaded, self._in_place.unload())
        self._ahead, self._loaded = False, None

    def _layers(self, subject):
        return all_layers(subject.model)

    def _largest(self, subject):
        return super()._largest(subject.model)

    def _holds(self, subject):
        """Return whether the recordings fit the model as it is now, with its weights loaded into place."""
        model, optimizer = subject.model, subject.compiled.optimizer
        if self._loaded is model:
            return True
        arrays = arrays_by_name(model)
        if (reads := subject.reads()) is None:
            return False
        facts = [*_facts(model, optimizer, arrays), reads]
        same = self._watched.look(model)
        if self._in_place is None:
            if optimizer._groups is None:  # nothing was trained so far
                return False
            if UpdateInPlace.bytes_for(optimizer) > LARGEST:
                return True  # and `_check` refuses to record it
            self._facts, self._in_place = facts, UpdateInPlace(optimizer)
        elif not same or facts != self._facts or self._in_place.known is not optimizer._groups:
            self._facts = self._in_place = None
            return False
        self._in_place.load(arrays)
        self._loaded = model
        return True

    def _check(self, subject, arrays):
        super()._check(subject, arrays)
        if self._in_place is None:
            raise Unrepeatable(f"it holds more than {LARGEST:,} bytes")

    def _states(self, subject):
        return super()._states(subject), subject.compiled.optimizer._iterations

    def _restore(self, subject, states):
        super()._restore(subject, states[0])
        subject.compiled.optimizer._iterations = states[1]

    def _record(self, kind, subject, call, arguments, keywords):
        in_place, model, recording, (batch, _) = self._in_place, subject.model, kind.recording, arguments
        assert in_place is not None, "the weights are in place"
        layers, arrays, weight_options = all_layers(model), arrays_by_name(model), subject.options()
        fixed = [array for name, array in arrays.items() if name not in in_place.weights]
        recording.give(*in_place.weights.values())
        recording.constant(*fixed)
        pairs = [*((arrays[name], place) for name, place in in_place.weights.items()), *unmoved(layers, fixed)]
        before, found, update = call_states(layers), cast(Any, None), cast(Any, None)

        def losses(*parts):
            nonlocal found
            found = subject.differentiated(Batch(*parts))
            added = [one.value for one in found.added]
            return [list(found.batch.parts()), found.outputs, found.masks, sums_of(found.parts), added]

        def weights():
            nonlocal update
            gradients = found.gradients(subject.names())
            recording.alone = sys.maxsize  # later operations write to memory that all recordings share
            update = in_place.record(recording, gradients, weight_options)

        with recording, standing_in((array, noted(place)) for array, place in pairs):
            recording.shares = True
            kind.stage(losses, *batch.parts())
            _check_used(kind)
            kind.stage(weights)
        after = call_states(layers)
        changing = [layer for layer in after if after[layer] != before.get(layer)]
        options = ((weight_options[name], weight) for name, weight in in_place.weights.items())
        penalties = [(one.regularizer, weight) for one, weight in options if one.regularizer is not None]
        kind.own = _Own(update, penalties, changing)

    def _again(self, kind, subject, arrays, arguments):
        kind.run(0, arrays)
        self._finish(kind)

    @staticmethod
    def _finish(kind) -> None:
        _check_used(kind)
        kind.run(1, ())
        if not kind.own.update.is_finite():
            raise Unrepeatable("it can't be repeated with another batch")

    def _agrees(self, kind, subject, results, states):
        *_, sums, _ = kind.stages[0].result
        return subject.has_lost(sums) and kind.own.update.is_as(arrays_by_name(subject.model))

    def _give(self, kind, subject, call, arrays, arguments, keywords):
        moves, recording = any(held_by(layer).moving() for layer in kind.own.changing), kind.recording
        try:
            with all_or_nothing(subject.model) if moves else nullcontext():
                return self._repeat(kind, subject, arrays, *arguments)
        finally:
            if recording.is_unsafe:
                kind.clear()

    def _repeat(self, kind, stepper: Stepper, arrays, batch: Batch, tally: Tally) -> bool:
        """Give the tally the batch, and train by it; return True."""
        update, penalties, changing = kind.own
        states = call_states(changing)
        told, outputs, masks, sums, added = kind.stages[0].result
        try:
            kind.run(0, arrays)
            parts = parts_of(sums)
            penalty = sum([float(regularizer(weight.copy())) for regularizer, weight in penalties], 0.0)
            penalty += sum(map(float, added), 0.0)
            if not stepper.is_finite(parts, penalty):
                raise Unrepeatable("the loss is not finite")
        except Unrepeatable:
            restore(states)
            raise
        if tally.may_keep:
            told, outputs, masks = copied_arrays([told, outputs, masks])
        tally.add(Batch(*told), outputs, masks, parts, penalty)
        try:
            if self._loaded is not stepper.model:
                raise Unrepeatable("a metric has trained the model")
            self._finish(kind)
        except Unrepeatable:
            restore(states)
            return _train_anew(stepper, batch, None)
        self._ahead = True
        update.finish()
        return True


def _check_used(kind) -> None:
    *_, sums, _ = kind.stages[0].result
    if any(one is not None and not one[1] for one in sums):
        raise Unrepeatable("no entry of the batch is used")


def _train_anew(stepper: Stepper, batch: Batch, tally: Tally | None) -> bool:
    """Train without recordings, from the weights of the last batch; return True."""
    stepper.model._update_runner.settle()
    stepper.train_anew(batch, tally)
    return True


def _facts(model, optimizer, arrays) -> list:
    """Return, for comparison, what updates depend on besides batch, layers, and numbers of weights and slots."""
    weight_options = options_by_name(model)
    fixed = [array for name, array in arrays.items() if not weight_options[name].trainable]
    found: list[Any] = [Same(array) for array, _ in unmoved(all_layers(model), fixed)]
    return [*found, optimizer._all_slots, optimizer.clipnorm, optimizer.global_clipnorm, list(weight_options.items())]
