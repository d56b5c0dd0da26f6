"""The recurrent layer: any cell over sequences, with masks, directions and states kept between calls."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from typing import Any, cast

import numpy as np

from rnnkit import tracebacks
from rnnkit.arguments import integer, whole
from rnnkit.arrays import refuse
from rnnkit.backends.cuda.memory import interop
from rnnkit.backends.cuda.memory.array import DeviceArray
from rnnkit.backends.shared.call import Gradient, Record, Result
from rnnkit.cells.stacked import StackedRNNCells
from rnnkit.cells.standard import StandardCell
from rnnkit.circumstances import circumstances
from rnnkit.complex_pairs import is_complex, to_complex, to_pairs
from rnnkit.docstrings import described_as
from rnnkit.execution.execution import Execution
from rnnkit.execution.tangents import BY_ROW, Tangents, parted, together
from rnnkit.hints import Array, Config, DType, Regularizer, Seed, Shape
from rnnkit.layers.cell_layer import CellLayer
from rnnkit.layers.over_sequences import OverSequences
from rnnkit.layers.stream import Stream
from rnnkit.layers.support import device_transfer, entry, validation
from rnnkit.layers.support.facts import built_shape
from rnnkit.layers.support.layer_tree import all_or_nothing, build_with
from rnnkit.layers.support.pullback import Gradients, Pullback
from rnnkit.layers.support.seeds import weight_generator
from rnnkit.layers.support.symbolic import leaves, shape_leaves
from rnnkit.layers.support.symbolic import mapped as each_mapped
from rnnkit.layers.support.weight_mapping import complex_names
from rnnkit.serialization.registry import reading
from rnnkit.steps.cell import ALONE, Cell, as_cell, prepare
from rnnkit.steps.declared import DeclaredCell
from rnnkit.steps.nesting import Nesting, is_nested, is_shape, leaves_of, mapped, shapes_mapped
from rnnkit.steps.step import declared_output_shape, start_of

_COMPLEX = np.dtype(complex)


class RNN(CellLayer, OverSequences):
    """A layer that runs a cell along time.

    For every row of the batch it equals the loop::

        held = 0
        for t in range(T):                              # T-1 … 0 with go_backwards
            output, new_states = step(x[t], states)
            if mask[t]:
                states, held = new_states, output
            outputs.append(held)                        # 0 for a masked step with zero_output_for_mask
        return outputs if return_sequences else held

    Parameters
    ----------
    cell : declared cell, Cell, object with ``call`` and ``state_size``, or a list of cells
        A list is a stack: every step passes through all cells.
    return_sequences : bool
        Return the output of every step ``(B, T, *O)`` rather than the last ``(B, *O)``.
    return_state : bool
        Return ``(output, *states)``, the states after the last processed step.
    go_backwards : bool
        Process the steps from the last to the first; outputs come in that order.
    stateful : bool
        Start each call where the last one ended, row by row, until `reset_states`.
    unroll : bool
        Accepted for compatibility; changes nothing.
    zero_output_for_mask : bool
        Put out zeros at masked steps rather than the held output, with `return_sequences`.
    dtype : {"float32", "float64", "complex64", "complex128"}, optional
        Default: the first input's. The complex ones say that the input is complex, of float32 or float64.
    seed : int, optional
    name : str, optional
    device : {"cpu", "cuda"}
        The device of the computation; `Layer.to` changes it. A RuntimeError if `rnnkit.cuda` lacks what it needs.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.RNN(rk.GRUCell(4), return_sequences=True, return_state=True, seed=0)
    >>> outputs, h = layer(np.ones((2, 5, 3)))
    >>> outputs.shape, h.shape, bool((outputs[:, -1] == h).all())
    ((2, 5, 4), (2, 4), True)

    A cell whose step takes several arrays and gives several:

    >>> class Drift(rk.Cell):
    ...     state_size = 2
    ...     def call(self, inputs, states):
    ...         place = states[0] + inputs["speed"]
    ...         return {"place": place, "frame": inputs["frame"] / 2}, [place]
    >>> found = rk.RNN(Drift())({"speed": np.ones((2, 5, 2)), "frame": np.ones((2, 5, 4, 4))})
    >>> found["place"].tolist(), found["frame"].shape
    ([[5.0, 5.0], [5.0, 5.0]], (2, 4, 4))
    """

    _object_arguments: tuple[str, ...] = ("cell",)

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        *,
        dtype: DType = None,
        seed: Seed = None,
        name: str | None = None,
        device: str = "cpu",
        activity_regularizer: Regularizer = None,
    ):
        self.cell: Any = StackedRNNCells(cell) if isinstance(cell, (list, tuple)) else as_cell(cell)
        self._given_complex = False
        if self._may_be_complex():
            dtype, self._given_complex = validation.parts_of_dtype(dtype)
        seed = getattr(cell, "seed", None) if seed is None else seed
        super().__init__(dtype=dtype, seed=seed, name=name, activity_regularizer=activity_regularizer)
        self._reads_complex: bool = self._given_complex  # programs have the pairs of complex numbers
        self._spec = self.cell._states()
        self.return_sequences: bool = bool(return_sequences)
        self.return_state: bool = bool(return_state)
        self.go_backwards: bool = bool(go_backwards)
        self.stateful: bool = bool(stateful)
        self.unroll: bool = bool(unroll)
        self.zero_output_for_mask: bool = bool(zero_output_for_mask)
        self._device = device_transfer.usable(device)
        self._nesting: Nesting | None = None  # of the inputs, where there are several
        self._built_cell = False  # else the cell came with weights, from another layer
        self._kept: tuple[np.ndarray, ...] | None = None

    # Calls: validate, run, shape

    def _shown(self, result: Result):
        """Return the result of a call."""
        output, axes = (result.outputs, 2) if self.return_sequences else (result.last, 1)
        output = self._parted(output, axes, result.nesting)
        return (output, *self._spec.pack(result.states)) if self.return_state else output

    @staticmethod
    def _parted(output, axes, nesting):
        """Return the parts of a nested output, nested; any other output as it is."""
        if nesting is None or output is None:
            return output
        return nesting.packed([one if one.base is None else one.copy() for one in nesting.parted(output, axes)])

    def _differentiated(self, result: Result, with_constants):
        outputs = self._shown(result)
        back: Callable[..., Gradient] = result.pull  # type: ignore[assignment]  # since a gradient was asked for
        nesting = result.nesting
        count = 1 if nesting is None else len(nesting.shapes)
        steps = result.outputs.shape[:2] if self.return_sequences else result.last.shape[:1]  # type: ignore[union-attr]

        def pull(cotangents, x=True):
            output = self._joined_cotangents(cotangents[:count], steps, nesting)
            states = self._spec.paired(cotangents[count:])
            of_steps, last = (output, None) if self.return_sequences else (None, output)
            return self._gradients(back(of_steps, last, states or None, x), with_constants)

        return outputs, Pullback(outputs, self.dtype, pull, partial(pull, x=False))

    def jvp(
        self,
        sequences: Array,
        tangent: Array = None,
        weights: Mapping[str, Any] | None = None,
        initial_state: Array = None,
        mask: Array = None,
        training: bool = False,
        constants: Array = None,
        *,
        d_initial_state: Array = None,
        d_constants: Array = None,
    ) -> Any:
        """Run a call, and compute the first-order change of its results along a direction, or several.

        Parameters
        ----------
        sequences, initial_state, mask, training, constants
            As in a call.
        tangent : array_like of the shape of `sequences`, optional
            The direction of the input; None is zeros.
        weights : dict of str to array_like, optional
            That of weights, by name.
        d_initial_state, d_constants : nested as `initial_state` and `constants`, optional
            All tangents may have an axis of k directions in front. They are rows of one pass; where weights of more
            than 256 numbers move, there is a pass for each.

        Returns
        -------
        outputs, tangents
            A call's result, to rounding, and its change, nested alike, of several directions with their axis in front.
            A masked step holds the change, too.

        Raises
        ------
        ValueError, TypeError
            As a call; and for a step whose derivatives aren't known.

        Examples
        --------
        >>> import numpy as np, rnnkit as rk
        >>> @rk.cell(states={"h": "features"})
        ... def products(x, states, weights):
        ...     h = states.h * x
        ...     return h, h
        >>> layer = rk.RNN(products(), return_sequences=True)
        >>> x, one = np.full((1, 3, 1), 2.0), [np.ones((1, 1))]
        >>> y, dy = layer.jvp(x, np.ones_like(x), initial_state=one)
        >>> y.ravel().tolist(), dy.ravel().tolist()
        ([2.0, 4.0, 8.0], [1.0, 4.0, 12.0])
        """

        moved = tangent, dict(weights or {}), d_initial_state, d_constants
        times = 0
        left: list[tuple[Record, Tangents]] = []

        def along(record):
            nonlocal times
            times = self._directions(record, *moved)
            parts = [_part(moved, i) for i in range(times)] if times else [moved]
            large = {name for name, one in record.weights.items() if one.size > BY_ROW}
            first, *others = together(
                [self._tangents(record, *one) for one in parts], large | self.cell._sparse_weights()
            )
            left.extend((record, one) for one in others)
            return first

        result = self._run((sequences, initial_state, mask, training, constants, None), along=along)
        if (nesting := result.nesting) is not None and not nesting.alone:
            raise ValueError(f"expected {self.name!r} with one output, for a derivative along a direction")
        values, tangents = parted(result, 1 if left else max(times, 1))
        for record, one in left:
            tangents += parted(self._execution.along(record, one))[1]
        for found in (values, *tangents):
            found.nesting = nesting
        shown = [self._shown(one) for one in tangents]
        return self._shown(values), _stacked(shown) if times else shown[0]

    def _directions(self, record, tangent, weights, states, constants) -> int:
        """Return how many directions there are, where arrays have an axis of them in front; 0 for one without it."""
        if unknown := [name for name in weights if name not in record.weights]:
            raise ValueError(f"expected weights among {', '.join(record.weights)}, got {unknown[0]!r}")
        pairs = [(tangent, record.x.ndim - self._reads_complex)] if tangent is not None else []
        pairs += [(d, record.weights[n].ndim - (n in complex_names(self))) for n, d in weights.items()]
        pairs += zip(leaves(states), (1 + len(one) for one in self._spec.own_shapes), strict=False)
        complex_too = self.cell._complex_constants or itertools.repeat(False)
        pairs += [
            (d, one.ndim - is_pair)
            for d, one, is_pair in zip(leaves(constants), record.constants, complex_too, strict=False)
        ]
        if not any(np.ndim(array) == axes + 1 for array, axes in pairs):
            return 0
        shapes = [np.shape(array) for array, _ in pairs]
        if any(len(shape) != axes + 1 for shape, (_, axes) in zip(shapes, pairs, strict=True)) or not all(shapes[0]):
            raise ValueError(f"expected all tangents with an axis of directions in front or none, got shapes {shapes}")
        if len({shape[0] for shape in shapes}) > 1:
            raise ValueError(f"expected as many directions of each array, got shapes {shapes}")
        return shapes[0][0]

    def _tangents(self, record, tangent, weights, d_initial_state, d_constants) -> Tangents:
        """Return a direction of a call, checked."""
        rows, dtype, pairs = len(record.x), self.dtype, complex_names(self)
        axis = 2 if self._reads_complex else None
        moved = None if tangent is None else validation.like(tangent, "tangent", record.x, axis)
        states = None if d_initial_state is None else self._spec.unpack(d_initial_state, rows, dtype)
        constants = None if d_constants is None else self._constants(d_constants, rows, dtype)
        own = {
            n: validation.like(d, f"weights[{n!r}]", record.weights[n], 0 if n in pairs else None)
            for n, d in weights.items()
        }
        return Tangents(moved, states, constants, own)

    def _joined_cotangents(self, cotangents, steps, nesting):
        """Return the cotangent of the step's output from those of its parts."""
        if nesting is None:
            return cotangents[0]
        given = next((one for one in cotangents if one is not None), None)
        if given is None:
            return None
        pairs = zip(cotangents, nesting.shapes, strict=True)
        found = [
            np.zeros_like(given, self.dtype, shape=(*steps, *shape)) if one is None else one for one, shape in pairs
        ]
        return nesting.joined(found, len(steps))

    def _gradients(self, gradient, with_constants) -> Gradients:
        constants = self._shown_constants(gradient.constants) if with_constants else None
        x, nesting = gradient.x, self._nesting
        if nesting is not None and x is not None:
            x = self._parted(x, 2, nesting)
        return Gradients(gradient.weights, x, self._spec.pack(gradient.states), constants)

    def _through_time(self, result: Result):
        return self._parted(result.outputs, 2, result.nesting), self._spec.pack(result.trajectory)

    def _run(self, arguments: tuple, gradient=None, along=None, **wishes) -> Result:
        """Return the results of a call with these arguments; with `gradient`, the keywords of a vjp, they have `pull`.

        With `along`, a function from the call's record to a direction, they are those of the step's dual, with `pull`
        for the weights of `gradient`. `wishes` are fields of the call's `Record` that differ from the layer's.
        """
        sequences, initial_state, mask, training, constants, stream = arguments
        fields: dict[str, Any] = {
            "reverse": self.go_backwards,
            "zero_masked": self.zero_output_for_mask,
            "sequences": self.return_sequences,
            "training": bool(training),
            **wishes,
        }
        given = sequences if initial_state is None and mask is None and constants is None and stream is None else None
        if (plan := self._planned(given, training)) is not None:
            return self._computed(Record(sequences, *plan, **fields), gradient, along)
        x, mask, nesting = self._entered(sequences, mask)
        if stream is not None and self._device != "cuda":
            raise ValueError(f"expected no stream, since the layer {self.name!r} is on the CPU, got {stream!r}")
        dtype = self.dtype or validation.precision_of(x)
        batch_size, length = x.shape[:2]
        fields["mask"] = None if mask is None else validation.mask(mask, batch_size, length)
        fields["constants"] = () if constants is None else self._constants(constants, batch_size, dtype)
        fields["stream"] = 0 if stream is None else interop.stream_handle(stream)
        if not self.built:
            features = x.shape[2:] if nesting is None else nesting.shapes[0] if nesting.alone else None
            self._spec = self.cell._states(features)
        states, given = self._start(initial_state, batch_size, dtype), given if x is given else None
        if self.built:
            return self._computed(self._record(x, given, states, **fields), gradient, along)
        before, self._reads_complex = self._reads_complex, nesting is not None and nesting.alone
        try:
            with all_or_nothing(self):
                shape = x.shape if nesting is None else nesting.packed([(*x.shape[:2], *one) for one in nesting.shapes])
                build_with(self, shape, dtype)
                return self._computed(self._record(x, given, states, **fields), gradient, along)
        except BaseException:
            self._reads_complex = before
            raise

    def _entered(self, sequences, mask):
        """Return the input as one array, the mask, and the nesting of the input, None if it isn't nested."""
        if self._takes_complex(sequences):
            array = self._array(sequences, complex_too=True)
            if isinstance(array, DeviceArray):
                raise TypeError(f"expected x of {self.name!r} on the host, since it is complex, got an array of a GPU")
            x = to_pairs(array, 2, self.dtype or validation.precision_of(array))
            return x, mask, Nesting.of_shapes(array.shape, 2, _COMPLEX)
        if is_complex(sequences) and self._may_be_complex():
            dtype = np.result_type(self.dtype or np.float32, np.complex64)
            raise TypeError(
                f"expected x of real numbers for {self.name!r}, got {sequences.dtype}; make the layer with "
                f'dtype="{dtype}", or pass x.real, x.imag or np.abs(x)'
            )
        if not self._nests(sequences):
            return self._array(sequences), mask, None
        nesting = self._nesting or Nesting(mapped(sequences, _as_sequence), 2)
        arrays = [_as_sequence(one) for one in nesting.leaves(sequences, "x")]
        for array, shape in zip(arrays, nesting.shapes, strict=True):
            if array.shape[2:] != shape or array.shape[:2] != arrays[0].shape[:2]:
                expected = (*arrays[0].shape[:2], *shape)
                raise ValueError(
                    f"expected arrays of x with the same rows and steps, one {expected}, got {array.shape}"
                )
        dtype = self.dtype or np.result_type(*map(validation.precision_of, arrays))
        x = nesting.joined([one.astype(dtype, copy=False) for one in arrays], 2)
        return x, self._one_mask(mask, nesting), nesting

    def _one_mask(self, mask, nesting=None):
        """Return the first of the masks of nested inputs."""
        if (nesting or self._nesting) is None or not is_nested(mask, 2):
            return mask
        return next((one for one in leaves_of(mask) if one is not None), None)

    def _nests(self, value) -> bool:
        if self._nesting is not None:
            return not self._nesting.alone
        return not self.built and self._may_nest() and is_nested(value, 3)

    def _takes_complex(self, value) -> bool:
        """Return whether an input is complex numbers for this layer: the first one decides, where its cell has any."""
        if self.built or not is_complex(value):
            return self._reads_complex
        return self._reads_complex or any(self._spec.complex) or self.cell._declares_complex()

    def _array(self, sequences, complex_too: bool = False):
        array = validation.numbers(sequences, "x", complex_too=complex_too)
        features = self._input_shape[2:] if self.built else None
        if array.ndim < 3 or (features is not None and array.shape[2:] != features):
            raise validation.shape_error("x", "batch, time", features, array.shape)
        return array

    def _may_be_complex(self) -> bool:
        """Return whether its cell may take complex numbers; those of Keras don't."""
        cells = self.cell.cells if isinstance(self.cell, StackedRNNCells) else [self.cell]
        return not any(isinstance(cell, StandardCell) for cell in cells)

    def _may_nest(self) -> bool:
        """Return whether the cell's step may take several arrays."""
        return not isinstance(self.cell, (DeclaredCell, StackedRNNCells, StandardCell))

    def _computed(self, record: Record, gradient, along=None) -> Result:
        """Return the results of a call, as `_run`, and keep the states of a stateful layer."""
        execution, step = self._execution, self._execution.step
        if along is not None:
            if self.stateful:
                raise ValueError(f"expected {self.name!r} without states kept between calls, for a derivative")
            result = execution.along(record, along(record), gradient)
        else:
            result = execution.run(record) if gradient is None else execution.vjp(record, **gradient)
        result.nesting = step.nesting(record.constants, record.training) if record.constants else step.outputs
        if (stream := circumstances().stream) is not None:
            outputs = result.outputs if record.sequences else result.last
            held = None if self.zero_output_for_mask else record.mask  # zeros are there already
            stream.end(result.states, record.states, cast(np.ndarray, outputs), held)
        elif self.stateful:
            self._kept = tuple(state.copy() for state in result.states)
        return result

    def _constants(self, constants, batch_size, dtype):
        takes = self._execution.step.takes_constants if self._execution else self.cell._takes("constants")
        if not takes:
            raise ValueError(
                f"expected no constants: the step of {self.cell!r} doesn't name them, got {len(constants)}"
            )
        given = tuple(map(is_complex, constants)) if isinstance(constants, (list, tuple)) else ()
        if any(given) and (self._execution is None or not self._execution.executors):
            self.cell._complex_constants = given  # the first ones decide
        return validation.constants(constants, batch_size, dtype, self.cell._complex_constants)

    def _shown_constants(self, constants):
        flags = self.cell._complex_constants or (False,) * len(constants)
        pairs = zip(constants, flags, strict=True)
        return [to_complex(one, 1) if c else one for one, c in pairs]

    def _check_given(self, rows, initial_state=None, constants=None):
        if constants is not None:
            self._constants(constants, rows, self.dtype)
        if initial_state is not None:
            self._spec.unpack(initial_state, rows, self.dtype)

    def _given_for(self, node, shape):
        self._meet_constants(node)
        shapes, dtype = super()._given_for(node, shape)
        outputs = self._execution.step.outputs
        is_complex = outputs is not None and outputs.alone
        return shapes, np.result_type(dtype, np.complex64) if is_complex else dtype

    def _meet_constants(self, node):
        """Find the output's shape with the constants of a symbolic call, where all of their sizes are known."""
        shapes = [tensor.shape[1:] for tensor in leaves(node.more.get("constants"))]
        if shapes and None not in itertools.chain(*shapes):
            self._execution.step.output_shape([np.empty((1, *one)) for one in shapes], bool(node.training))

    def _start(self, initial_state, batch_size, dtype):
        """Return the states that a call starts from, or None for the cell's own."""
        if (stream := circumstances().stream) is not None:
            return stream.begin(self, initial_state)
        if self.stateful and self._kept is not None and self._kept[0].shape[0] != batch_size:
            raise ValueError(
                f"expected a batch of {self._kept[0].shape[0]} rows, as this stateful layer has states for, got "
                f"{batch_size}; reset_states() frees the batch size"
            )
        if initial_state is not None:
            return self._spec.unpack(initial_state, batch_size, dtype)
        return self._kept if self.stateful else None

    @tracebacks.edge
    @described_as(CellLayer.stream)
    def stream(self, batch: Any = 1, constants: Array = None, initial_state: Array = None) -> Stream:
        """Return a stream that runs this layer one step at a time, see `Stream`.

        Parameters
        ----------
        constants : list of array_like (B, …), optional
        initial_state : list of array_like ``(B, *state)``, optional
            The states at the start, now and after a reset.
        """
        return Stream(self, batch, constants, initial_state)

    @property
    def _stream_refusal(self):  # type: ignore[override]
        if self._nesting is not None and not self._nesting.alone:
            return "takes several arrays"
        return "goes backwards" if self.go_backwards else None

    # Building

    def _build(self, shape):
        if None in [size for one in shape_leaves(shape) for size in one[2:]]:
            raise ValueError(f"expected known features in the shape (batch, time, features), got {shape}")
        features = self._features_of(shape)
        fresh = not self.cell.built
        if not fresh and self.cell._complex_inputs != self._reads_complex:
            kinds = ("real", "complex") if self._reads_complex else ("complex", "real")
            raise ValueError(f"expected a cell for {kinds[1]} x; {self.cell!r} was built for {kinds[0]} numbers")
        try:
            self.cell._complex_inputs = self._reads_complex
            prepare(self.cell, _of_a_step(shape), self.dtype, weight_generator(self))
            execution = self._executed(self.cell, features)
            self._spec = execution.step.states
        except BaseException:
            if fresh:
                unbuild(self.cell)
            raise
        self._execution, self._built_cell, self._nesting = execution, fresh, self._nesting_of(shape)

    def _forget(self):
        super()._forget()
        self._execution, self._nesting = None, None  # type: ignore[assignment]  # until it is built again
        self._reads_complex = self._given_complex
        if self._built_cell:
            unbuild(self.cell)

    @property
    def _keeps_states(self) -> bool:  # type: ignore[override]
        return self.stateful

    _step_cell: Any = property(attrgetter("cell"))

    # States between calls

    @property
    def states(self) -> list[Any] | None:
        """Copies of the states that the next call of a stateful layer starts from; None if they aren't known yet."""
        return None if self._kept is None else self._spec.pack(_on_host(self._kept))

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """Return the states before the first step, ``(B, *state)`` each, as `initial_state` takes them."""
        return self._spec.pack(self._initial_states(whole(batch_size, "batch_size", 0)))

    def _initial_states(self, batch_size):
        return start_of(self.cell, self._spec, batch_size, self.dtype or np.dtype("float32"))

    def _keep(self, kept):
        self._kept = kept

    def _reset(self, states, rows):
        if not self.stateful:
            raise ValueError(f"expected a stateful layer to reset; {self.name!r} was made with stateful=False")
        if rows is None:
            if states is None:
                return None
            if not self.built:
                raise ValueError(f"expected the layer {self.name!r} to be built before its states are set")
            return self._spec.unpack(device_transfer.taken(self, states, "states"), None, self.dtype, "states")
        if states is not None:
            raise ValueError("expected either states or rows to reset, got both")
        count = 0 if self._kept is None else self._kept[0].shape[0]
        refuse(rows, "rows")
        rows = [integer(row, "a row to reset") for row in np.atleast_1d(np.asarray(rows, dtype=object)).ravel()]
        if missing := [row for row in rows if not 0 <= row < count]:
            raise ValueError(f"expected rows below {count}, the batch size of the kept states, got {missing[0]}")
        if not rows:
            return self._kept
        kept = _on_host(self._kept)
        for state, start in zip(kept, self._initial_states(count), strict=True):
            state[rows] = start[rows]
        return kept

    # Shapes and masks

    def _shape(self, shape):
        if is_shape(shape) or not self._may_nest():
            return super()._shape(shape)
        return shapes_mapped(shape, super()._shape)

    def _opened(self, shape):
        return shapes_mapped(shape, super()._opened)

    def _check_shape(self, shape):
        if self._nesting is None or self._nesting.alone:
            super()._check_shape(shape)
        elif is_shape(shape) or Nesting.of_shapes(shape, 2) != self._nesting:
            raise ValueError(f"expected x nested as {self._input_shape}, got {shape}")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of a call's result, as a tuple of shapes with `return_state`; None stays None.

        Examples
        --------
        >>> import rnnkit as rk
        >>> rk.LSTM(8, return_sequences=True).compute_output_shape((None, None, 3))
        (None, None, 8)
        """
        shape = self._shape(input_shape)
        if self.built:
            self._check_shape(shape)
            output, nesting, spec = self._execution.output_shape(), self._execution.step.outputs, self._spec
        else:
            output, nesting, spec = self._shapes_unbuilt(shape)
        first = shape_leaves(shape)[0]
        steps = first[: 2 if self.return_sequences else 1]
        output = (*steps, *output) if nesting is None else nesting.packed([(*steps, *one) for one in nesting.shapes])
        if not self.return_state:
            return output
        return (output, *spec.nested([(first[0], *state) for state in spec.own_shapes]))

    def _shapes_unbuilt(self, shape):
        if None in [size for one in shape_leaves(shape) for size in one[2:]]:
            return declared_output_shape(self.cell), None, self._spec
        trial = copy.deepcopy(self.cell)
        prepare(trial, _of_a_step(shape), np.dtype("float32"), np.random.default_rng(0))
        trial._complex_inputs = self._reads_complex
        execution = Execution(trial, self._features_of(shape), np.dtype("float32"))
        return execution.output_shape(), execution.step.outputs, execution.step.states

    def _nesting_of(self, shape) -> Nesting | None:
        if self._reads_complex:
            return Nesting.of_shapes(shape, 2, _COMPLEX)
        return None if is_shape(shape) else Nesting.of_shapes(shape, 2)

    def _features_of(self, shape):
        nesting = self._nesting_of(shape)
        return shape[2:] if nesting is None else nesting

    @property
    def _reverses_time(self):  # type: ignore[override]
        return [self.go_backwards and self.return_sequences]

    @entry.entered_mask
    def compute_mask(self, inputs: Array, mask: Array = None) -> Any:
        """Return the mask of the output: the input's with `return_sequences`, in processing order; None for states."""
        mask = self._one_mask(mask)
        if mask is not None:
            mask = validation.steps(mask)[:, ::-1] if self.go_backwards else validation.steps(mask)
        output = mask if self.return_sequences else None
        return [output, *(None for _ in self._spec.nested(self._spec.shapes))] if self.return_state else output

    # Configuration and display

    def get_config(self) -> Config:
        """Return the constructor's arguments as JSON values.

        Raises
        ------
        TypeError
            If the cell has no configuration.
        """
        config = super().get_config()
        if self._reads_complex and self.dtype is not None:
            config["dtype"] = np.result_type(self.dtype, np.complex64).name
        return config

    def _flags(self) -> dict:
        names = "return_sequences return_state go_backwards stateful unroll zero_output_for_mask".split()
        return {name: getattr(self, name) for name in names}

    def _arguments(self):
        flags = [f"{name}=True" for name, on in self._flags().items() if on]
        return ", ".join([repr(self.cell), *flags, *(["device='cuda'"] if self._device == "cuda" else [])])

    def __getstate__(self) -> Any:
        return super().__getstate__() | {"_kept": None if self._kept is None else _on_host(self._kept)}


def _of_a_step(shape):
    """Return the shapes of a step's inputs from those of sequences."""
    return shapes_mapped(shape, lambda one: (one[0], *one[2:]))


def _as_sequence(value) -> np.ndarray:
    """Return one of several inputs ``(B, T, *features)``."""
    array = validation.numbers(value, "x")
    if array.ndim < 3:
        raise validation.shape_error("an array of x", "batch, time", None, array.shape)
    return array


def _on_host(states) -> tuple[np.ndarray, ...]:
    """Return copies of states on the host."""
    return tuple(state.copy_to_host() if isinstance(state, DeviceArray) else state.copy() for state in states)


def unbuild(cell: Cell) -> None:
    """Undo a build: the cell's weights are deleted, with those of its parts."""
    cell._forget_weights()
    cell.built = False
    for part in cell._parts().values():
        unbuild(part)


def unbuilt_copy(layer: RNN) -> RNN:
    """Return a layer of the same configuration that shares nothing; a cell without a configuration is copied."""
    try:
        with reading(own=True):
            copied = type(layer).from_config(layer.get_config())
    except (TypeError, ValueError):
        config = {"dtype": layer.dtype, "seed": layer._given_seed, "name": layer.name, "device": layer._device}
        config |= layer._flags()
        cell = copy.deepcopy(layer.cell)
        unbuild(cell)
        copied = RNN(cell, **config)
    copied.trainable = layer.trainable
    if "use_cudnn" in vars(layer):  # an argument of Keras's that changes nothing
        vars(copied)["use_cudnn"] = vars(layer)["use_cudnn"]
    return copied


def _part(moved, i):
    """Return a direction of several."""
    return [each_mapped(one, lambda array: np.asarray(array)[i]) if one is not None else None for one in moved]


def _stacked(several):
    """Return nested arrays as ones with an axis in front."""
    first = several[0]
    if isinstance(first, (list, tuple)):
        return type(first)(_stacked(parts) for parts in zip(*several, strict=True))
    return np.stack(several)


def _alone(cell, built: tuple | None) -> RNN:
    """Return the layer of a cell that is called by itself: one step, with its states; of a copy, built as it was."""
    layer = RNN(cell, return_state=True, seed=getattr(cell, "seed", None), name=cell.name)
    if built is not None:
        build_with(layer, *built)
    return layer


ALONE += [_alone, built_shape]
