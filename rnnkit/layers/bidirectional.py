"""Bidirectional: one recurrent layer forwards, one backwards, merged."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.backends.cuda.memory.array import DeviceArray, concatenate
from rnnkit.backends.shared.call import Gradient, Result
from rnnkit.hints import Array, Config, DType, Seed, Shape
from rnnkit.layers.base import UsersOwn
from rnnkit.layers.over_sequences import OverSequences
from rnnkit.layers.rnn import RNN, unbuilt_copy
from rnnkit.layers.support import entry, validation
from rnnkit.layers.support.added_losses import unregularized
from rnnkit.layers.support.layer_tree import all_or_nothing, build_with
from rnnkit.layers.support.pullback import Gradients, Pullback
from rnnkit.layers.support.row_gradient import added_up
from rnnkit.layers.support.seeds import adopt_seed, seeds_for_parts
from rnnkit.serialization.configuration import serialize

# Merges of the outputs of both directions: the result, and the function that splits its cotangent.


def _concat(forward, backward):
    halves = [forward, backward]
    whole = concatenate(halves) if isinstance(forward, DeviceArray) else np.concatenate(halves, axis=-1)
    return whole, _parted_at(forward.shape[-1])


def _parted_at(size):
    return lambda d: (d[..., :size], d[..., size:])


MERGES = {
    "concat": _concat,
    "sum": lambda forward, backward: (forward + backward, lambda d: (d, d)),
    "mul": lambda forward, backward: (forward * backward, lambda d: (d * backward, d * forward)),
    "ave": lambda forward, backward: ((forward + backward) * 0.5, lambda d: (d * 0.5, d * 0.5)),
    None: lambda forward, backward: ((forward, backward), lambda d: d),
}


class Bidirectional(OverSequences):
    """A recurrent layer over the sequences, and another over their reverse.

    It equals::

        merge(forward(x), backward(x)[:, ::-1])          # with return_sequences, so that times agree
        merge(forward(x), backward(x))                   # without

    Parameters
    ----------
    layer : RNN, SimpleRNN, GRU or LSTM
        Its configuration is copied for the forward layer, and with the direction reversed for the backward one.
    merge_mode : {"concat", "sum", "mul", "ave", None}
        None returns the pair.
    backward_layer : RNN, optional
        Its configuration for the backward layer instead; it goes the other way and returns the same things.
    dtype, seed, name
        As in every layer; the seed is the layer's unless given, and both directions get one spawned from it.

    Notes
    -----
    Weights are named ``forward/kernel``, …, ``backward/kernel``, …; states come and go as the forward layer's entries,
    then the backward layer's. With sequences, masked steps are 0 in both halves.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.Bidirectional(rk.LSTM(8, return_sequences=True))(np.zeros((2, 5, 3))).shape
    (2, 5, 16)
    """

    _object_arguments = ("layer", "backward_layer")

    def __init__(
        self,
        layer: Any,
        merge_mode: str = "concat",
        backward_layer: Any = None,
        *,
        dtype: DType = None,
        seed: Seed = None,
        name: str | None = None,
    ):
        for one in (layer, layer if backward_layer is None else backward_layer):
            if not isinstance(one, RNN):
                raise TypeError(f"expected a recurrent layer, got {one!r}")
        if merge_mode not in MERGES:
            raise ValueError(f"expected merge_mode concat, sum, mul, ave or None, got {merge_mode!r}")
        super().__init__(
            dtype=layer._given_dtype if dtype is None else dtype,
            seed=layer._given_seed if seed is None else seed,
            name=name,
        )
        self.merge_mode = merge_mode
        self.forward_layer: Any = unbuilt_copy(unregularized(layer))
        self.backward_layer: Any = unbuilt_copy(layer if backward_layer is None else backward_layer)
        self._has_own_backward = backward_layer is not None
        self._seeds_backward = backward_layer is None or backward_layer._given_seed is None
        if backward_layer is None:
            self.backward_layer.go_backwards = not layer.go_backwards
        for attribute in ("return_sequences", "return_state", "stateful"):
            if getattr(self.backward_layer, attribute) != getattr(layer, attribute):
                raise ValueError(f"expected backward_layer with {attribute}={getattr(layer, attribute)}, as layer has")
        if self.backward_layer.go_backwards == layer.go_backwards:
            raise ValueError(f"expected backward_layer with go_backwards={not layer.go_backwards}")
        for one in (self.forward_layer, self.backward_layer):
            one.dtype = one._given_dtype = self.dtype
        self._pass_seed_on()

    @property
    def return_sequences(self) -> bool:
        """Return whether the outputs of all steps are returned."""
        return self.forward_layer.return_sequences

    @property
    def return_state(self) -> bool:
        """Return whether states follow the output."""
        return self.forward_layer.return_state

    @UsersOwn
    def stateful(self) -> bool:
        """Return whether both directions keep their states between calls."""
        return self._keeps_states

    @property
    def _keeps_states(self) -> bool:  # type: ignore[override]
        return self.forward_layer.stateful

    def _shown(self, results):
        return self._with_states(self._merged(results, self.return_sequences)[0], *results[:2])

    def _with_states(self, output, forward, backward):
        """Return the result of a call from the merged output."""
        if not self.return_state:
            return output
        outputs = output if self.merge_mode is None else (output,)
        return (*outputs, *self._packed(forward.states, backward.states))

    def _differentiated(self, results, with_constants):
        in_time, (forward, backward, _) = self.return_sequences, results
        output, parted = self._merged(results, in_time)
        outputs = self._with_states(output, forward, backward)
        count, first = 2 if self.merge_mode is None else 1, len(forward.states)

        def pull(cotangents):
            output, states = cotangents[:count], cotangents[count:]
            states = [
                *self.forward_layer._spec.paired(states[:first]),
                *self.backward_layer._spec.paired(states[first:]),
            ]
            halves = output if count == 2 else (None, None) if output[0] is None else parted(output[0])
            return self._gradients(
                _pulled(forward.pull, halves[0], states[:first], in_time, 1),
                _pulled(backward.pull, halves[1], states[first:], in_time, -1),
                with_constants,
            )

        return outputs, Pullback(outputs, self.forward_layer.dtype, pull)

    def _gradients(self, forward: Gradient, backward: Gradient, with_constants) -> Gradients:
        weights = {f"forward/{name}": array for name, array in forward.weights.items()}
        weights |= {f"backward/{name}": array for name, array in backward.weights.items()}
        constants = [added_up(a, b) for a, b in zip(forward.constants, backward.constants, strict=True)]
        constants = self.forward_layer._shown_constants(constants) if with_constants else constants
        states = self._packed(forward.states, backward.states)
        d_x = added_up(forward.x, backward.x)
        return Gradients(weights, d_x, states, constants if with_constants else None)

    def _through_time(self, results):
        forward, backward, _ = results
        return self._merged(results, True)[0], self._packed(forward.trajectory, backward.trajectory)

    def _run(self, arguments: tuple, gradient=None, **wishes) -> tuple[Result, Result, np.ndarray | None]:
        """Return the results of both directions, as `RNN._run`, and the array of both outputs if there is one."""
        x, start, *others = arguments
        x, layers = validation.numbers(x, "x"), (self.forward_layer, self.backward_layer)
        starts = (None, None) if start is None else self._split(start, "initial_state")
        in_time = wishes.get("sequences", self.return_sequences)
        whole, *places = self._places(x) if in_time else (None, None, None)
        wishes["zero_masked"] = True  # a held output of one direction would be merged with a new one
        with all_or_nothing(self):
            results = [
                layer._run((x, start, *others), gradient, place=place, **wishes)
                for layer, start, place in zip(layers, starts, places, strict=True)
            ]
            if any(result.nesting is not None and result.nesting.alone for result in results):
                raise ValueError(
                    f"expected layers of one real output in {self.name!r}; of complex numbers let the step return "
                    "np.concatenate([z.real, z.imag], -1)"
                )
            if not self.built:
                build_with(self, self.forward_layer._input_shape, self.forward_layer.dtype)
        forward, backward = results
        if whole is not None and not all(np.may_share_memory(whole, one.outputs) for one in results):
            whole = None
        return forward, backward, whole

    def _places(self, x):
        """Return an array and places in it for both outputs, side by side; None if these aren't known yet."""
        open_axes = x.shape[:2]
        if isinstance(x, DeviceArray) or not self.built or self.merge_mode != "concat" or len(open_axes) != 2:
            return None, None, None
        executions = [one._execution for one in (self.forward_layer, self.backward_layer)]
        if any(one.step.takes_constants for one in executions):
            return None, None, None  # the output's shape comes with the constants
        first, second = (one.output_shape() for one in executions)
        if len(first) != 1 or len(second) != 1:
            return None, None, None
        whole = np.empty((*open_axes, first[0] + second[0]), self.forward_layer.dtype, like=x)
        return whole, whole[..., : first[0]], whole[:, ::-1, first[0] :]

    def _merged(self, results, sequences):
        """Return the merged output, and the function that splits its cotangent."""
        forward, backward, whole = results
        if not sequences:
            return self._merge(forward.last, backward.last)
        if isinstance(forward.outputs, DeviceArray):
            return MERGES[self.merge_mode](forward.outputs, backward.outputs[:, ::-1].copy())
        if whole is not None:  # both were written side by side
            return whole, _parted_at(forward.outputs.shape[-1])
        return self._merge(forward.outputs, backward.outputs[:, ::-1].copy())

    def _merge(self, forward, backward):
        return MERGES[self.merge_mode](forward, backward)

    def _packed(self, forward, backward) -> list:
        return [*self.forward_layer._spec.pack(forward), *self.backward_layer._spec.pack(backward)]

    def _split(self, states, what):
        counts = [len(one._spec.nested(one._spec.shapes)) for one in (self.forward_layer, self.backward_layer)]
        if not isinstance(states, (list, tuple)) or len(states) != sum(counts):
            got = f"{len(states)} entries" if isinstance(states, (list, tuple)) else f"an array {np.shape(states)}"
            raise ValueError(
                f"expected {what} with {counts[0]} entries for the forward layer, then {counts[1]} for the backward "
                f"one, got {got}"
            )
        return states[: counts[0]], states[counts[0] :]

    def _check_given(self, rows, initial_state=None, constants=None):
        starts = (None, None) if initial_state is None else self._split(initial_state, "initial_state")
        for layer, start in zip((self.forward_layer, self.backward_layer), starts, strict=True):
            layer._check_given(rows, start, constants)

    # Shapes and masks

    def _given_for(self, node, shape):
        for layer in (self.forward_layer, self.backward_layer):
            layer._meet_constants(node)
        return super()._given_for(node, shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of a call's result, a tuple of shapes where it is a tuple."""
        shape = super().compute_output_shape(input_shape)
        forward, backward = (one.compute_output_shape(shape) for one in (self.forward_layer, self.backward_layer))
        states = ()
        if self.return_state:
            (forward, *first), (backward, *second) = forward, backward
            states = (*first, *second)
        if self.merge_mode is None:
            return (forward, backward, *states)
        output = (*forward[:-1], forward[-1] + backward[-1]) if self.merge_mode == "concat" else forward
        return (output, *states) if self.return_state else output

    @property
    def _reverses_time(self):  # type: ignore[override]
        return self.forward_layer._reverses_time * (2 if self.merge_mode is None else 1)

    @entry.entered_mask
    def compute_mask(self, inputs: Array, mask: Array = None) -> Any:
        """Do as `RNN.compute_mask`; a pair of masks with ``merge_mode=None``."""
        masks = self.forward_layer.compute_mask(inputs, mask)
        if self.return_state:
            masks, states = masks[0], [*masks[1:], *self.backward_layer.compute_mask(inputs, mask)[1:]]
            return [masks, masks, *states] if self.merge_mode is None else [masks, *states]
        return (masks, masks) if self.merge_mode is None else masks

    # States between calls

    @property
    def states(self) -> list[Any] | None:
        """Copies of both layers' kept states, forward first; None where they aren't known yet."""
        forward, backward = self.forward_layer.states, self.backward_layer.states
        return None if forward is None or backward is None else [*forward, *backward]

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """Return both layers' states before the first step, forward first."""
        return [*self.forward_layer.get_initial_state(batch_size), *self.backward_layer.get_initial_state(batch_size)]

    def _reset(self, states, rows):
        first, second = (None, None) if states is None else self._split(states, "states")
        forward, backward = self.forward_layer._reset(first, rows), self.backward_layer._reset(second, rows)
        if states is not None and forward[0].shape[0] != backward[0].shape[0]:
            raise ValueError(f"expected states of one batch size, got {forward[0].shape[0]} and {backward[0].shape[0]}")
        return forward, backward

    def _keep(self, kept):
        self.forward_layer._keep(kept[0])
        self.backward_layer._keep(kept[1])

    # Parts and configuration

    def _build(self, shape):
        with all_or_nothing(self):
            for layer in (self.forward_layer, self.backward_layer):
                build_with(layer, shape, layer.dtype or self.dtype)

    def _parts(self):
        return {"forward": self.forward_layer, "backward": self.backward_layer}

    def _pass_seed_on(self):
        forward, backward = seeds_for_parts(self, 2)
        adopt_seed(self.forward_layer, forward)
        if self._seeds_backward:
            adopt_seed(self.backward_layer, backward)

    def get_config(self) -> Config:
        """Return the constructor's arguments as JSON values."""
        forward, backward = serialize(self.forward_layer), serialize(self.backward_layer)
        forward["config"]["seed"] = None  # this layer's seed stands for it
        return super().get_config() | {"layer": forward, "backward_layer": backward if self._has_own_backward else None}

    def __repr__(self) -> str:
        mode = "" if self.merge_mode == "concat" else f", merge_mode={self.merge_mode!r}"
        backward = f", backward_layer={self.backward_layer!r}" if self._has_own_backward else ""
        return f"Bidirectional({self.forward_layer!r}{mode}{backward})"


def _pulled(pull, d, states, in_time, direction) -> Gradient:
    """Return one direction's gradient, from the cotangents of its output, along input time, and of its states."""
    d = None if d is None else validation.cast(d, d.dtype)
    if in_time:
        return pull(None if d is None else d[:, ::direction], None, states or None)
    return pull(None, d, states or None)
