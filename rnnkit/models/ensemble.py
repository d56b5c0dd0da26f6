"""Ensemble: layers or models of one kind, each with weights of its own, as one."""

from __future__ import annotations

import copy
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from operator import itemgetter
from typing import Any, Self

import numpy as np

from rnnkit.arguments import positive_integer
from rnnkit.backends.shared.failures import StepFailed
from rnnkit.circumstances import circumstances, standing_in, weights_now
from rnnkit.docstrings import described_as
from rnnkit.execution.execution import unread
from rnnkit.hints import Array, Config, CustomObjects, Shape
from rnnkit.layers.base import ENSEMBLE, Layer
from rnnkit.layers.rnn import RNN
from rnnkit.layers.stream import Stream
from rnnkit.layers.support import entry, validation
from rnnkit.layers.support.added_losses import calling_parts, unregularized
from rnnkit.layers.support.array_kinds import handler_of
from rnnkit.layers.support.assignments import Changes
from rnnkit.layers.support.display import Text, shown
from rnnkit.layers.support.held_weights import HeldWeights
from rnnkit.layers.support.labelled_calls import plain
from rnnkit.layers.support.layer_tree import (
    all_layers,
    all_or_nothing,
    arrays_by_name,
    build_with,
    held_by,
    options_by_name,
    put_arrays,
)
from rnnkit.layers.support.pullback import Gradients, Pullback, options
from rnnkit.layers.support.sequence_calls import least_axes, nests
from rnnkit.layers.support.symbolic import is_shape, leaves, shape_leaves
from rnnkit.layers.support.weight_mapping import complex_names, sparse_names
from rnnkit.models.assembled import Assembled
from rnnkit.models.functional import Model
from rnnkit.regularizers import L1L2, Regularizer
from rnnkit.serialization.configuration import deserialize, serialize
from rnnkit.steps.cell import frozen
from rnnkit.steps.nesting import leaves_of, mapped, numbered, shapes_mapped
from rnnkit.steps.weight_options import WeightOptions
from rnnkit.training.of_batch import OfBatch
from rnnkit.training.trainable import Trainable


class _WeightsOfMembers(HeldWeights):
    """The weights of all members, stacked along an axis in front."""

    __slots__ = ()

    of_all = True

    def arrays(self):
        own, members = self.layer._own, self.layer.members
        first = members[0]
        if first.built and (own.checked != Changes.weights or any(held_by(m).moving() for m in all_layers(first))):
            held = [arrays_by_name(member) for member in members]
            for name, array in held[0].items():
                arrays = [one[name] for one in held]
                if not own.known or any(a is not one[name] for a, one in zip(arrays, own.known, strict=True)):
                    own.stacks[name] = frozen(np.stack(arrays), array.dtype)
            own.known, own.checked = held, Changes.weights
        return own.stacks

    def options(self):
        """Return a member's options, each for a weight with an axis of members."""
        return {name: _of_each(one) for name, one in options_by_name(self.layer.members[0]).items()}

    def replace(self, arrays, sparse):
        own, members, before = self.layer._own, self.layer.members, self.arrays()
        for k, member in enumerate(members):
            put_arrays(member, {name: array[k, ...] for name, array in arrays.items()}, sparse)
        own.known = [arrays_by_name(member) for member in members]
        own.stacks, own.checked = before | dict(arrays), Changes.weights

    def sparse(self):
        return sparse_names(self.layer.members[0])

    def complex(self):
        return complex_names(self.layer.members[0])


class Ensemble(Trainable):
    """n layers, or models, that differ in their weights alone: called, differentiated and trained at once.

    It equals::

        np.stack([member(x) for member in members])          # x (B, …) goes to all of them
        np.stack([member(x[k]) for k, member in enumerate(members)])     # x (n, B, …), one to each

    Parameters
    ----------
    layer : Layer
        The model of the members, as given by `Layer.ensemble`: any layer or model whose results have a batch axis.
        It stays as it is.
    n : int
        Member k has the weights that the layer would have if k were added to its seed, and to the seeds of layers
        inside; without a seed, all members are drawn anew.
    name : str, optional

    Attributes
    ----------
    members : tuple of Layer
        The single ones, whose weights these are: what changes one of them changes the ensemble.

    Notes
    -----
    Weights, gradients, results and states have an axis of members in front. What went to all of them has the sum of
    its cotangents. Of masks and initial states, too, an array with one more axis has one for each; constants go to
    all.

    `fit`, `evaluate` and `predict` take the same x and y for all members, or x, y and sample weights with an axis of
    members in front of each. Losses and metrics are means over the members. A member has the weights that a `fit` of
    it alone would give by the same batches.

    Members whose step is planned by rows are computed together, as so many rows; the others one after the other.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> x = np.random.default_rng(0).normal(size=(64, 10, 1)).astype("float32")
    >>> model = rk.Sequential([rk.GRU(8), rk.Dense(1)], seed=0).ensemble(5)
    >>> model.compile(optimizer=rk.optimizers.Adam(0.01), loss="mse")
    >>> history = model.fit(x, x.sum(axis=1), epochs=5)
    >>> y = model.predict(x)
    >>> y.shape, y.mean(axis=0).shape
    ((5, 64, 1), (64, 1))
    """

    _axes_in_front = 1
    _held_weights = _WeightsOfMembers
    _recorded_bytes = 1 << 27
    _stream_refusal = None

    def __init__(self, layer: Any, n: int, *, name: str | None = None):
        if not isinstance(layer, Layer) or isinstance(layer, Ensemble):
            raise TypeError(f"expected a layer or a model to make an ensemble of, got {layer!r}")
        if layer.device != "cpu":
            raise ValueError(f"expected {layer.name!r} on the CPU for an ensemble")
        for one in all_layers(layer):
            unregularized(one)
        self.n: int = positive_integer(n, "n")
        self._members = self.n
        super().__init__(dtype=layer._given_dtype, name=name)
        first = _redrawn(layer, 0)
        with unread():
            self.members: tuple[Any, ...] = (first, *(_redrawn(layer, k) for k in range(1, self.n)))
        self._sequence, self._given_seed = first._sequence, first._given_seed
        self._own = _Own()
        if layer.built:
            build_with(self, layer._input_shape, layer.dtype)

    # Building

    def build(self, input_shape: Shape) -> None:
        """Create the members' weights, and those of layers inside, for inputs of a shape."""
        super().build(input_shape)
        for member in self.members:
            member.build(input_shape)  # also what a user's class calls

    def _build(self, shape):
        first, *others = self.members
        with all_or_nothing(self):
            build_with(first, shape, first.dtype or self.dtype)
            with unread():
                for member in others:
                    build_with(member, first._input_shape, first.dtype)
        self._share()
        self.dtype: Any = first.dtype
        self._own = _Own()  # what was known before there were weights

    def _share(self):
        """Let all members run the compiled programs of the first one."""
        for member in self.members[1:]:
            for one, other in zip(all_layers(member), all_layers(self.members[0]), strict=True):
                if getattr(one, "_execution", None) is not None:
                    one._execution.share(other._execution)

    def _forget(self):
        super()._forget()
        self._own = _Own()

    def _shape(self, shape):
        return self.members[0]._shape(shape)

    def _opened(self, shape):
        return self.members[0]._input_shape

    def _check_shape(self, shape):
        self.members[0]._check_shape(shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of a call's result, for an x that goes to all members."""
        return shapes_mapped(self.members[0].compute_output_shape(input_shape), lambda one: (self.n, *one))

    @entry.entered_mask
    def compute_mask(self, inputs: Array, mask: Array = None) -> Any:
        """Return the mask of a member's output, for an x and a mask that go to all."""
        return self.members[0].compute_mask(inputs, mask)

    def _given_for(self, node, shape):
        raise ValueError(f"expected arrays for {self.name!r}: an ensemble of a whole model is model.ensemble(n)")

    # Weights

    def _parts(self):
        return {str(k): member for k, member in enumerate(self.members)}

    def _standing_in(self):
        """Return a context for calls of members: they compute with the arrays that replace the ensemble's weights."""
        if circumstances().weights is None:
            return nullcontext()
        now = weights_now(arrays_by_name(self))
        layers = (one for member in self.members for one in all_layers(member))
        moving = {id(array) for one in layers for array in held_by(one).moving().values()}
        members = enumerate(self._own.known)
        pairs = ((array, now[name][k, ...]) for k, held in members for name, array in held.items())
        return standing_in([pair for pair in pairs if id(pair[0]) not in moving])

    # Calls

    @entry.entered
    def __call__(
        self,
        inputs: Array,
        mask: Array = None,
        training: bool = False,
        *,
        initial_state: Array = None,
        constants: Array = None,
    ) -> Any:
        """Run x through all members.

        Parameters
        ----------
        inputs : array_like (B, …) or (n, B, …)
            Before the members are built, an array of one axis more than they need at least is one for each if its
            first axis is n.
        mask : array_like (B, T) or (n, B, T), optional
        training : bool
        initial_state, constants
            As the members take them, each state also ``(n, B, *state)``.

        Returns
        -------
        ndarray (n, B, …), or nested as a member's results

        Raises
        ------
        ValueError, TypeError
            As a member; no member is changed then.
        """
        return self._run(inputs, mask, training, initial_state, constants, None)[0]

    @entry.entered_vjp
    def vjp(
        self,
        inputs: Array,
        mask: Array = None,
        training: bool = False,
        *,
        initial_state: Array = None,
        constants: Array = None,
        checkpoint: Any = None,
        truncate: Any = None,
    ) -> Any:
        """Run a call, and return the function that takes cotangents of its results back through all members.

        Parameters
        ----------
        inputs, mask, training, initial_state, constants
            As in a call.
        checkpoint, truncate
            As in `RNN.vjp`, for recurrent layers inside.

        Returns
        -------
        outputs
            The same bits as the call's.
        pullback : callable
            As a member's, for cotangents with an axis of members in front; ``weights`` have it, too. What went to all
            members has the sum of its cotangents.
        """
        wanted = options(checkpoint, truncate)
        outputs, _, pullback = self._run(inputs, mask, training, initial_state, constants, wanted)
        return outputs, pullback

    def _run(self, inputs, mask, training, initial_state, constants, wanted):
        """Return the results, their masks and, if `wanted` has the keywords of a vjp, the pullback."""
        given = self._given(inputs, mask, initial_state, constants)
        if self.built:
            return self._run_built(given, bool(training), wanted)
        x = mapped(given.x, lambda one: one[0])
        recurrent = [member for member in self.members if isinstance(member, RNN)]
        try:
            for member in recurrent:
                member._reads_complex = member._takes_complex(x)
            with all_or_nothing(self):
                dtypes = [validation.precision_of(one) for one in leaves(x)]
                build_with(self, mapped(x, np.shape), self.dtype or np.result_type(*dtypes))
                return self._run_built(given, bool(training), wanted)
        finally:
            for member in recurrent:
                member._reads_complex = member._given_complex or (member.built and member._reads_complex)

    def _run_built(self, given, training, wanted):
        if self._goes_by_rows(given, training):
            return self._by_rows(given, training, wanted)
        with calling_parts(self), self._standing_in():
            found = [_called(m, given.of(k), training, wanted) for k, m in enumerate(self.members)]
        outputs, masks = (_stacked([one[i] for one in found]) for i in range(2))
        if wanted is None:
            return outputs, masks, None

        def pull(cotangents, whole=True):
            gradients = []
            for k, (_, _, pullback) in enumerate(found):
                own = [None if d is None else d[k] for d in cotangents]
                gradients.append(pullback.pull(own) if whole else pullback.pull_weights(own))
            weights, x, states, constants = (
                _stacked([getattr(one, name) for one in gradients])
                for name in ("weights", "x", "initial_state", "constants")
            )
            return given.gathered(weights, x, states, constants)

        return outputs, masks, Pullback(outputs, self.dtype, pull, partial(pull, whole=False))

    def _given(self, inputs, mask, initial_state, constants) -> _Given:
        """Return the arguments of a call, with an axis of members in front of each array."""
        first = self.members[0]
        shape = first._input_shape
        several = nests(first, inputs) or (shape is not None and not is_shape(shape))
        numbers = partial(validation.numbers, complex_too=True)  # which a member may refuse
        x = mapped(inputs, partial(numbers, what="x")) if several else numbers(inputs, "x")
        has_own = self._has_own(x)
        shape, mask_has_own = leaves(x)[0].shape[has_own:], False
        if mask is not None and not isinstance(mask, (list, tuple)):
            mask = validation.given(mask, "mask")
            mask_has_own = mask.ndim == 4 or (mask.ndim == 3 and mask.shape != (*shape[:2], 1))
        states, own_states = None, []
        if initial_state is not None:
            if not hasattr(first, "get_initial_state"):
                raise ValueError(f"expected no initial_state for {first.name!r}, whose layers it can't be given to")
            like = first.get_initial_state(1)
            if len(leaves(like)) == 1 and not isinstance(initial_state, (list, tuple)):
                initial_state = [initial_state]
            pairs = [(numbers(a, "initial_state"), b) for a, b in _pairs(initial_state, like)]
            own_states = [a.ndim > np.ndim(b) for a, b in pairs]
            arrays = iter([self._spread(a, own) for (a, _), own in zip(pairs, own_states, strict=True)])
            states = mapped(like, lambda _: next(arrays))
        if constants is not None:
            constants = [self._spread(numbers(one, "constants"), False) for one in constants]
        spread = partial(self._spread, own=mask_has_own)
        return _Given(
            mapped(x, partial(self._spread, own=has_own)),
            None if mask is None else mapped(mask, spread) if isinstance(mask, (list, tuple)) else spread(mask),
            states, constants, has_own, own_states,
        )  # fmt: skip

    def _has_own(self, x, axis=0) -> bool:
        """Return whether each member has an x of its own, with an axis of members."""
        first, found = self.members[0], np.shape(leaves(x)[0])
        if first._input_shape is None:
            return len(found) == least_axes(first) + 1 and found[axis] == self.n
        return len(found) == len(shape_leaves(first._input_shape)[0]) + 1

    def _spread(self, array, own):
        if array is None:
            return None
        if own and array.shape[0] != self.n:
            raise ValueError(
                f"expected {self.n} in front of an array for each member, or one for all; got {array.shape}"
            )
        return array if own else np.broadcast_to(array, (self.n, *array.shape))

    # By rows: all members as so many rows, each with weights of its own

    def _goes_by_rows(self, given, training) -> bool:
        first = self.members[0]
        if not isinstance(first, RNN) or circumstances().stream is not None:
            return False
        if first._nesting is not None and not first._nesting.alone:
            return False
        if given.x.ndim < 4 or given.x.shape[3:] != first._input_shape[2:]:
            return False  # a member refuses it
        constants = [one[0] for one in given.constants or ()]
        if len(constants) == 0 and first._execution.step.takes_constants:
            return False
        return first._execution.takes_members(constants, training)

    def _by_rows(self, given, training, wanted):
        first, (n, rows) = self.members[0], given.x.shape[:2]
        layer = self._rows_of(first)
        kept = None if given.states is None else mapped(given.states, _as_rows)
        known = first._start(None, rows, self.dtype)  # which refuses a batch size other than that of kept states
        if kept is None and (known is not None or not layer._execution.step.starts_alike):
            starts = [m._initial_states(rows) if known is None else m._kept for m in self.members]
            kept = layer._spec.pack([np.concatenate(states) for states in zip(*starts, strict=True)])
        x = _as_rows(given.x)
        mask = None if given.mask is None else _as_rows(given.mask)
        constants = None if given.constants is None else list(map(_as_rows, given.constants))
        now = weights_now(arrays_by_name(self))
        pairs = [(array, now[name]) for name, array in layer.cell._all_weights().items()]
        with standing_in(pairs), _told_by_member(rows):
            arguments = x, kept, mask, training, constants
            found, pullback = (layer(*arguments), None) if wanted is None else layer.vjp(*arguments, **wanted)
        if first.stateful:
            states = layer._spec.unpack(list(found[1:]), None, self.dtype)
            for k, member in enumerate(self.members):
                member._keep(tuple(state[k * rows : (k + 1) * rows] for state in states))
        apart = lambda one: None if one is None else one.reshape(n, rows, *one.shape[1:])
        outputs = mapped(found if first.return_state else found[0], apart)
        masks = mapped(first.compute_mask(x, mask), apart)
        if pullback is None:
            return outputs, masks, None
        count = len(leaves_of(found))

        def pull(cotangents, whole=True):
            own = [None if d is None else _as_rows(d) for d in cotangents]
            own += [None] * (count - len(own))
            with _told_by_member(rows):
                g = pullback.pull(own) if whole else pullback.pull_weights(own)
            return given.gathered(g.weights, apart(g.x), mapped(g.initial_state, apart), mapped(g.constants, apart))

        return outputs, masks, Pullback(outputs, self.dtype, pull, partial(pull, whole=False))

    def _rows_of(self, first) -> RNN:
        """Return a layer like the members, whose rows are those of all of them."""
        made = self._own.as_rows
        if made is None or made._flags() != first._flags() | {"return_state": True, "stateful": False}:
            made = self._own.as_rows = copy.deepcopy(first)
            made.stateful, made.return_state, made._kept = False, True, None
            made._execution.share(first._execution)
        return made

    # Training: the rows of all members are joined, member by member

    @property
    def _interface(self):
        return self.members[0]._interface if isinstance(self.members[0], Trainable) else self

    @described_as(Trainable.compile)
    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, *more: Any, **options: Any) -> None:
        """Say how the members are to be trained: each by its own loss, as a model alone.

        Raises
        ------
        ValueError
            As `Trainable.compile`; and for what sees all weights or all rows at once: `clipnorm`, `global_clipnorm`,
            `LBFGS`, and losses that give one number for a batch.
        """
        before = self._compiled
        super().compile(optimizer, loss, *more, **options)
        made, compiled = self._ready().optimizer, self._ready()
        found = [name for name in ("clipnorm", "global_clipnorm") if getattr(made, name, None)]
        found += ["an optimizer that evaluates the loss itself"] * hasattr(made, "minimize")
        found += ["a loss of a whole batch" for one in compiled.objectives if one and isinstance(one.loss, OfBatch)]
        if found:
            self._compiled = before
            raise ValueError(f"expected what trains each member by itself, got {found[0]}; clipvalue cuts gradients")

    def _stepper(self, source, class_weight, parts):
        if parts is not None or hasattr(source, "stepper"):
            raise ValueError("expected arrays, and no parts, to fit an ensemble")
        return super()._stepper(source, class_weight, parts)

    def _source(self, x, y, sample_weight, batch_size, steps):
        if isinstance(x, np.ndarray) and self._has_own(x):
            x, y, sample_weight = (mapped(one, _rows_first) for one in (x, y, sample_weight))
        return super()._source(x, y, sample_weight, batch_size, steps)

    @described_as(Trainable.predict)
    def predict(self, x: Array, batch_size: Any = None, verbose: Any = "auto", steps: Any = None, **more: Any) -> Any:
        """Compute the outputs of all members for many rows, a batch at a time.

        Returns
        -------
        ndarray (n, B, …), or nested as a member's results
        """
        if more.get("out") is not None or handler_of(x) is not None:
            raise ValueError(
                "expected arrays, and no out, for an ensemble, whose rows stand behind the axis of members"
            )
        x = plain(x)
        if isinstance(x, np.ndarray) and self._has_own(x):
            x = _rows_first(x)
        return super().predict(x, batch_size, verbose, steps, **more)

    def _predicted(self, batches, told):
        return super()._predicted((replace(one, x=list(map(self._fronted, one.x))) for one in batches), told)

    def _fronted(self, x):
        """Return an x of a batch, with the axis of members in front if it has one."""
        return _rows_first(x) if self._has_own(x, 1) else x

    def _of_all_members(self, batch):
        own = self._has_own(batch.x[0], 1)
        told = (None if of is None else [_repeated(one, self.n, own) for one in of] for of in (batch.y, batch.weights))
        return replace(batch, **dict(zip(("y", "weights"), told, strict=True)))

    def _across(self, inputs, mask, training, wanted=None):
        """Return outputs and masks of a batch of training, with the rows of all members joined, and the pullback."""
        outputs, masks, inner = self._run(mapped(inputs, self._fronted), mask, training, None, None, wanted)
        flat, masks, shapes = mapped(outputs, _as_rows), mapped(masks, _as_rows), [one.shape for one in leaves(outputs)]
        if inner is None:
            return flat, masks, None

        def back(pull):
            parted = lambda d, shape: None if d is None else d.reshape(shape)
            return lambda d: pull([parted(one, shape) for one, shape in zip(d, shapes, strict=True)])

        return flat, masks, inner.around(flat, back)

    # States between calls, and steps one at a time

    @property
    def stateful(self) -> bool:
        """Return whether members keep their states between calls."""
        return getattr(self.members[0], "stateful", False)

    @property
    def states(self) -> Any:
        """Copies of the kept states of recurrent members, with an axis of these in front; None before there are any."""
        return _stacked([member.states for member in self.members])

    def get_initial_state(self, batch_size: int) -> Any:
        """Return the states before the first step, as a member, with an axis of members in front."""
        return _stacked([member.get_initial_state(batch_size) for member in self.members])

    def reset_states(self, states: Array = None, rows: Array = None) -> None:
        """Do as a member; `states` have an axis of members in front."""
        own = [None if states is None else mapped(states, itemgetter(k)) for k in range(self.n)]
        kept = [member._reset(one, rows) for member, one in zip(self.members, own, strict=True)]
        for member, one in zip(self.members, kept, strict=True):
            member._keep(one)

    reset_state = reset_states

    def stream(self, batch: Any = 1, constants: Array = None) -> Stream:
        """Return a stream that runs all members one step at a time, for one x: outputs have the members in front."""
        return Stream(self, batch, constants)

    @property
    def _reads_ids(self):  # type: ignore[override]
        return self.members[0]._reads_ids

    @property
    def _reads_complex(self):  # type: ignore[override]
        return self.members[0]._reads_complex

    # Configuration and display

    def get_config(self) -> Config:
        """Return the first member's configuration, and the number of members."""
        return {"layer": serialize(self.members[0]), "n": self.n, "name": self.name}

    @classmethod
    def from_config(cls, config: Config, custom_objects: CustomObjects = None) -> Self:
        """Return a new ensemble from what `get_config` gave, built if its members are."""
        return cls(deserialize(config["layer"]), config["n"], name=config["name"])

    def summary(self) -> str:
        """Print and return a member's table, with the number of members."""
        first = self.members[0]
        one = first._summary() if isinstance(first, Assembled) else str(first)
        return shown(Text(f"Ensemble {self.name!r}: {self.n} members, each\n{one}"))

    def explain(self, source: bool = False, graph: bool = False) -> str:
        """Return how a member's steps are compiled, which is the same for all members."""
        return self.members[0].explain(source=source, graph=graph)

    def _card(self, depth=0):
        return replace(super()._card(depth), parts=())

    def __repr__(self) -> str:
        return f"Ensemble({self.members[0]!r}, {self.n})"

    def __getstate__(self) -> Any:
        return self.__dict__ | {"_own": _Own()}

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)
        self._share()


ENSEMBLE.append(Ensemble)


@dataclass(eq=False)
class _Own:
    """All members' weights, the arrays that they were stacked from, when these were checked, and members as rows."""

    stacks: dict[str, np.ndarray] = field(default_factory=dict)
    known: list[dict[str, np.ndarray]] = field(default_factory=list)
    checked: int = -1
    as_rows: RNN | None = None


@dataclass(eq=False, slots=True)
class _Given:
    """Arguments of a call, each array with an axis of members in front, and which of them were one for all."""

    x: Any
    mask: Any
    states: Any
    constants: list | None
    own_x: bool
    own_states: list[bool]

    def of(self, k: int) -> tuple[Any, Any, dict]:
        """Return the arguments of a member: x, mask and keywords."""
        given = {"initial_state": self.states, "constants": self.constants}
        x, mask, more = mapped((self.x, self.mask, given), lambda one: None if one is None else one[k])
        return x, mask, {name: one for name, one in more.items() if one is not None}

    def gathered(self, weights, x, states, constants) -> Gradients:
        """Return the gradient of a call from those of its members, summed for arrays that were one for all."""
        own = iter(self.own_states)
        if self.own_states:
            states = mapped(states, lambda d: _gathered(d, next(own)))
        return Gradients(
            weights,
            mapped(x, lambda d: _gathered(d, self.own_x)),
            states,
            mapped(constants, lambda d: _gathered(d, False)),
        )


@contextmanager
def _told_by_member(rows: int):
    """Let errors inside about a row of all members name the member and its own row."""
    try:
        yield
    except StepFailed as error:
        told = error.at(error.row % rows, error.step)
        told.add_note(f"of member {error.row // rows}")
        raise told from None


def _gathered(d, own: bool):
    return d if d is None or own else np.sum(d, axis=0)


def _redrawn(layer: Layer, k: int) -> Any:
    """Return a copy of a layer with `k` added to all seeds, and new weights if it is built."""
    copied: Any = copy.deepcopy(layer)
    inside = list(dict.fromkeys(all_layers(copied)))
    for one in inside:
        sequence, given = one._sequence, one._given_seed
        entropy = sequence.entropy
        entropy = [entropy[0] + k, *entropy[1:]] if isinstance(entropy, (list, tuple)) else entropy + k
        one._sequence, one._generator = np.random.SeedSequence(entropy, spawn_key=sequence.spawn_key), None
        if given is not None:
            one._given_seed = int(given) + k if isinstance(given, (int, np.integer)) else one._sequence
        if getattr(one, "_kept", None) is not None:
            one._kept = None
    if isinstance(copied, Trainable):
        copied._compiled = None
    for one in inside:
        if one.built and not isinstance(one, Model):
            one._forget()
    for one, other in zip(all_layers(copied), all_layers(layer), strict=True):
        if other.built and not one.built:
            if isinstance(one, RNN):
                one._reads_complex = other._reads_complex
            build_with(one, other._input_shape, other.dtype)
    return copied


def _called(member, given, training, wanted) -> tuple:
    """Return a member's results, their mask, and the pullback if it is wanted."""
    x, mask, more = given
    if more and isinstance(member, Assembled):
        raise ValueError(f"expected no {next(iter(more))} for {member.name!r}, whose layers it can't be given to")
    return member._with_mask(x, mask, training, more, wanted or None)


def _stacked(found: list):
    """Return arrays that are nested alike, stacked along an axis in front."""
    each = [leaves_of(one) for one in found]
    stacks = [None if one[0] is None else np.stack(list(map(np.asanyarray, one))) for one in zip(*each, strict=True)]
    return mapped(numbered(found[0]), stacks.__getitem__)


def _pairs(given, like):
    """Yield the array given for each array of a nested list, with that array."""
    if not isinstance(like, (list, tuple)):
        yield given, like
        return
    if not isinstance(given, (list, tuple)) or len(given) != len(like):
        raise ValueError(f"expected initial_state nested as get_initial_state gives it, {len(like)} entries")
    for one, other in zip(given, like, strict=True):
        yield from _pairs(one, other)


def _as_rows(array):
    """Return an array ``(n, B, …)`` as one of n * B rows."""
    return None if array is None else array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])


def _rows_first(array):
    return None if array is None else np.asanyarray(array).swapaxes(0, 1)


def _repeated(array, n: int, own: bool):
    """Return targets or weights of a batch for the rows of all members."""
    if array is None:
        return None
    if own:
        return _as_rows(_rows_first(array))
    return np.concatenate([array] * n)


class _L1L2OfEach(L1L2):
    """The mean of a penalty over members, with the gradient of each."""

    def __call__(self, weight: Array) -> float:
        return super().__call__(weight) / len(weight)


@dataclass(frozen=True)
class _OfEach(Regularizer):
    """The mean of any penalty over members; or a constraint of each member's weight."""

    one: Any

    def __call__(self, weight: Array) -> Any:
        found = list(map(self.one, weight))
        return np.stack(found) if np.ndim(found[0]) else sum(found) / len(found)

    def gradient(self, weight: Array) -> np.ndarray:
        return np.stack(list(map(self.one.gradient, weight)))


def _of_each(options: WeightOptions) -> WeightOptions:
    """Return the options of a weight in training for the same weight with an axis of members."""
    penalty, constraint = options.regularizer, options.constraint
    of_each = _L1L2OfEach(penalty.l1, penalty.l2) if isinstance(penalty, L1L2) else penalty and _OfEach(penalty)
    return replace(options, regularizer=of_each, constraint=constraint and _OfEach(constraint))
