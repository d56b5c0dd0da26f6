"""The runners of vjps: calls that are repeated with their pullbacks, and pulls of traced functions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from rnnkit.circumstances import standing_in
from rnnkit.layers.support.layer_tree import arrays_by_name
from rnnkit.layers.support.pullback import Gradients, Pullback
from rnnkit.layers.support.recording import Unrepeatable, arrays_in
from rnnkit.layers.support.row_gradient import RowGradient
from rnnkit.layers.support.runner import Runner, copied_arrays, same_bits
from rnnkit.layers.support.watching import call_states, restore
from rnnkit.layers.support.weight_mapping import pair_axes


class VJPRunner(Runner):
    """The recorded calls of a layer's vjp; a late pullback first repeats its call, with the arrays from then."""

    _may_be_longer = False

    def _check(self, subject, arrays):
        super()._check(subject, arrays)
        if self._bytes(arrays) > subject._recorded_bytes:  # they are copied, and what is given is, too
            raise Unrepeatable(f"its arrays hold more than {subject._recorded_bytes:,} bytes")

    def _record_stages(self, kind, subject, call, arguments, keywords):
        pullback: Any = None  # kept by no stage, for it has the layer

        def forward(given, named):
            nonlocal pullback
            outputs, pullback = call(subject, *given, **named)
            return outputs

        outputs = kind.stage(forward, arguments, keywords)
        kind.stage(lambda *d: _parts(pullback.pull(list(d))), *map(np.ones_like, arrays_in(outputs)))
        kind.own = pullback.dtype, pair_axes(subject), []
        return outputs

    def _again(self, kind, subject, arrays, arguments):
        kind.latest = None
        kind.load(self._watched.weights)
        return kind.run(0, arrays)

    def _agrees(self, kind, subject, results, states):
        (outputs, pullback), own = results
        rng = np.random.default_rng(0)
        d = [rng.normal(size=place.shape).astype(place.dtype) for place in kind.stages[1].places]
        same = same_bits(outputs, own) and same_bits(*map(_dense, (_parts(pullback.pull(d)), kind.run(1, d))))
        before, after = states
        kind.own[2][:] = [layer for layer in after if after[layer] != before.get(layer)]
        return same and _numbers(call_states(after)) == _numbers(after)

    def _give(self, kind, subject, call, arrays, arguments, keywords):
        weights, (dtype, pairs, changing) = self._watched.weights, kind.own
        states = call_states(changing)
        arguments, keywords = copied_arrays(arguments), copied_arrays(keywords)
        saved = arrays_in([arguments, keywords])
        outputs = copied_arrays(self._again(kind, subject, arrays, arguments))
        kind.latest, recording = (token := object()), kind.recording

        def pull(cotangents) -> Gradients:
            mine = False
            try:
                mine = all(one is not None for one in cotangents) and self._idle.pop("idle", False)
                if mine and kind.recording is recording:
                    if kind.latest is not token:
                        kind.latest = None
                        kind.load(weights)
                        with _as_then(states):
                            kind.run(0, saved)
                        kind.latest = token
                    return Gradients(*copied_arrays(kind.run(1, cotangents)))
            except Unrepeatable:
                kind.drop_unsafe()
            finally:
                if mine:
                    self._idle["idle"] = True
            others = zip(arrays_by_name(subject).values(), weights, strict=True)
            with standing_in(others), _as_then(states):  # the ordinary way
                return call(subject, *arguments, **keywords)[1].pull(cotangents)

        pullback = Pullback(outputs, dtype, pull)
        pullback.complex_weights = lambda: pairs
        return outputs, pullback


class PullRunner(Runner):
    """The recorded pulls of a traced function without a batch axis."""

    _long, _may_be_longer = math.inf, False

    def pull(self, traced, arrays: list, cotangents: list, sought: list[int]) -> list[np.ndarray]:
        """Return the result of ``traced.pull(arrays, cotangents, sought)``, of the same shapes and dtypes each time."""
        call, given = type(traced).pull, (arrays, cotangents, sought)
        found = self.serve((), traced, call, [*arrays, *cotangents], given, {})
        return call(traced, *given) if found is None else found

    def _layers(self, subject):
        return []

    def _largest(self, subject):
        return 1 << 20

    def _holds(self, subject):
        return True


@contextmanager
def _as_then(states: dict) -> Iterator[None]:
    """Draw the numbers that were drawn from these states, and leave those of now as they are."""
    now = call_states(states)
    restore(states)
    try:
        yield
    finally:
        restore(now)


def _numbers(states: dict) -> list:
    """Return the numbers of `call_states`, for comparison."""
    each = [
        (state, {name: one.value.tobytes() for name, one in moving.items()}) for _, state, moving in states.values()
    ]
    return [repr(one) for one in each]


def _parts(g: Gradients) -> list:
    return [g.weights, g.x, g.initial_state, g.constants, g.more]


def _dense(parts: list) -> list:
    return [np.asarray(one) if isinstance(one, RowGradient) else one for one in parts[0].values()] + parts[1:]
