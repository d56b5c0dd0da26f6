"""The base of all layers: a name, a precision, a seed, weights by name, a configuration and its display."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Never, Self

import numpy as np

from rnnkit import regularizers, tracebacks
from rnnkit.arguments import is_own
from rnnkit.configured import config_of
from rnnkit.docstrings import describe_by_bases
from rnnkit.execution.execution import build_lock
from rnnkit.hints import Array, Config, CustomObjects, DType, Regularizer, Seed, Shape
from rnnkit.layers.support import (
    array_kinds,
    device_transfer,
    entry,
    model_files,
    quantizing,
    seeds,
    symbolic,
    tape,
    validation,
    weight_files,
)
from rnnkit.layers.support.added_losses import RegularizedCalls, kept
from rnnkit.layers.support.display import Text, layer_card
from rnnkit.layers.support.pullback import Pullback, options
from rnnkit.layers.support.repeated_gradients import RepeatedVJPs
from rnnkit.layers.support.repeats import (
    Assigned,
    RepeatedCalls,
    assigned,
    by_attributes,
    frozen_outside,
    weights_replaced,
)
from rnnkit.layers.support.variable import Variable, WeightVariable
from rnnkit.layers.support.weight_mapping import Weights, like, pair_axes, shown
from rnnkit.recording import constant, unrepeatable, weights_now
from rnnkit.serialization.configuration import deserialize
from rnnkit.serialization.registry import Configurable
from rnnkit.shown import Shown
from rnnkit.steps.cell import Cell, is_scipy_sparse
from rnnkit.steps.weight_options import PLAIN, WeightOptions
from rnnkit.stored_weights import all_expanded

if TYPE_CHECKING:
    from rnnkit.cards import Card
    from rnnkit.models.ensemble import Ensemble

NO_MORE: Mapping[str, Any] = {}  # no other keywords of a call
ENSEMBLE: list[Callable] = []  # the function that makes an ensemble of a layer, registered by the models


_NUMBERS = {int, float, np.float32, np.float64, np.ndarray}

_signature = functools.lru_cache(maxsize=256)(inspect.signature)


def default_name(kind: type) -> str:
    """Return the name of a layer without one: its class's, in small letters.

    >>> class GlobalAveragePooling1D: ...
    >>> default_name(GlobalAveragePooling1D)
    'global_average_pooling1d'
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[0-9])(?=[A-Z][a-z])", "_", kind.__name__).lower()


class UsersOwn(property):
    """A property that an attribute of the same name hides, which a class of a user's may set."""

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, instance, owner=None):
        own = () if instance is None else instance.__dict__
        return own[self.name] if self.name in own else super().__get__(instance, owner)

    def __set__(self, instance, value):
        if is_own(type(instance)):
            raise AttributeError(
                f"expected {self.name!r} of {instance.name!r} to be left as it is: setting it would change nothing; "
                f"{_INSTEAD.get(self.name, 'only classes of your own may have such an attribute')}"
            )
        instance.__dict__[self.name] = value

    def __delete__(self, instance):
        del instance.__dict__[self.name]


_INSTEAD = {
    "device": "call layer.to(device)",
    "seed": "give the layer or the model its seed when it is made",
    "stateful": "make the recurrent layers inside with stateful=True",
    "loss": "call model.compile(loss=…)",
}


def _name_options(init) -> None:
    """Let the signature of a constructor that takes `LayerOptions` name them."""
    signature = inspect.signature(init)
    *own, last = signature.parameters.values()
    if last.annotation == "Unpack[LayerOptions]":
        _, *options, _ = inspect.signature(Layer.__init__).parameters.values()
        init.__signature__ = signature.replace(parameters=[*own, *options])


def makes_no_mask(compute_mask):
    """Mark a method `compute_mask` that always returns None where the input has no mask, as a decorator."""
    compute_mask.makes_no_mask = True
    return compute_mask


def any_shape(self: Layer, shape: Shape) -> None:
    """Accept all shapes: the `_check_shape` of layers that take any."""


@makes_no_mask
def no_mask(self: Layer, inputs: Array, mask: Array = None) -> Any:
    """Return None: the result has other steps, or none."""
    return None


class Layer(Shown, Configurable):
    """Base of all layers: called on arrays, built at the first call or by `build`.

    Parameters
    ----------
    dtype : {"float32", "float64"}, optional
        Precision of weights and results; None takes the first input's, float32 for integers.
    seed : int or numpy.random.SeedSequence, optional
        The seed of weights and masks; the same seed gives the same bits, None gives new ones each time.
    name : str, optional
    activity_regularizer : str or Regularizer, optional
        A penalty of the outputs, over the number of rows, that training and evaluation add to the loss.

    Attributes
    ----------
    trainable : bool
        False leaves this layer's weights, and those of layers inside, as they are in training.
    """

    trainable: bool = True
    dtype: Any

    # A subclass's input: its least and greatest rank, the number and the names of leading axes of any size.
    _least_rank = 1
    _most_rank: int | None = None
    _open_axes = 1
    _axes = "batch, …"
    _axes_in_front = 0  # of results, before the batch axis
    _object_arguments: tuple[str, ...] = ()  # the constructor's arguments that are cells or layers

    _is_read_once = False  # whether a user's class is traced once, rather than run at each call
    _takes_unbatched = False  # whether symbolic weights, which have no batch axis, may be among its inputs
    # The sequences of a list that are joined in a batch: all, padded under a mask ("masked"), or those of equal lengths
    # ("lengths"); None for layers that take lists of arrays as they are.
    _padding: str | None = None
    _reads_ids = _reads_complex = False  # whether its inputs are integer ids, and whether they are complex numbers
    _stream_refusal: str | None = "needs whole sequences"  # why it can't take one step at a time; None if it can

    _native = False  # whether a call computes on its arrays' device, or copies those of a GPU to the host and back
    _device = "cpu"
    _recorded_bytes = 1 << 20  # at most, of a recorded call, which stay in memory as long as the layer
    _repeated_calls: RepeatedCalls | None = None
    _repeated_vjps: RepeatedVJPs | None = None

    _scope = ""  # the names of the layers that built it, as "model/block/"
    _kept: Any  # the states of a stateful layer between calls

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        mask_entered = array_kinds.handled if cls._native else device_transfer.crossing
        for name, enter in (*entry.METHODS.items(), ("compute_mask", mask_entered)):
            if name in vars(cls):
                setattr(cls, name, enter(vars(cls)[name]))
        if "__init__" in vars(cls):
            _name_options(vars(cls)["__init__"])
        describe_by_bases(cls)

    def __init__(
        self,
        *,
        dtype: DType = None,
        seed: Seed = None,
        name: str | None = None,
        activity_regularizer: Regularizer = None,
        **unknown: Never,
    ):
        if unknown:
            raise TypeError(f"{type(self).__name__}() got an unexpected keyword argument {next(iter(unknown))!r}")
        self.dtype = self._given_dtype = None if dtype is None else validation.floating(dtype)
        self._given_seed = seed
        self._sequence = seeds.seed_sequence(seed)
        if name is not None and not isinstance(name, str):
            raise TypeError(f"expected name to be a string, got {name!r}")
        self.name: str = name or self._default_name()
        self.built: bool = False
        self._input_shape: Any = None  # until it is built
        self._generator: np.random.Generator | None = None
        self._repeated_calls, self._repeated_vjps = RepeatedCalls(), RepeatedVJPs()
        self.activity_regularizer: Any = regularizers.get(activity_regularizer)
        if self.activity_regularizer is not None:
            self._repeated_calls = RegularizedCalls()  # type: ignore[assignment]
        self._repeated_hvps: dict[tuple[str, ...], RepeatedCalls] = {}  # by the names of what they are by
        self._assigned = Assigned()

    def __setattr__(self, name: str, value: Any) -> None:
        is_weight = name[0] != "_" and self.__dict__.get("built") and name in self._own_arrays()
        if is_weight and not isinstance(value, Variable):
            raise AttributeError(
                f"expected the weight {name!r} of {self.name!r} to be replaced by layer.{name}.assign(value)"
            )
        if name != "_generator":
            unrepeatable(f"a call keeps {name!r}")
        numbers = type(value) in _NUMBERS and type(self.__dict__.get(name)) in _NUMBERS
        super().__setattr__(name, value)
        assigned(self, name, numbers)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        assigned(self, name)

    def _default_name(self) -> str:
        return default_name(type(self))

    # Devices

    _keeps_states = False  # whether a call starts from the last one's states

    @UsersOwn
    def device(self) -> str:
        """The device it computes on, "cpu" or "cuda"; of layers together, "cuda" where any of them does."""
        return device_transfer.device_of(self)

    def to(self, device: str) -> Self:
        """Move the layer to a device, with all layers inside.

        Parameters
        ----------
        device : {"cpu", "cuda"}

        Returns
        -------
        Layer
            This one.

        Raises
        ------
        ValueError
            For an unknown device, and for a GPU if weights are quantized.
        RuntimeError
            If the package, the driver or a GPU is missing; nothing is changed then.

        Examples
        --------
        >>> import rnnkit as rk
        >>> rk.GRU(4).to("cpu").device
        'cpu'
        """
        device = device_transfer.usable(device)
        if device == "cuda" and self.quantization is not None:
            raise ValueError(
                f"expected float weights on a GPU; those of {self.name!r} are stored as {self.quantization}, and "
                "quantize(None) takes them as float32"
            )
        for layer in self._all_layers():
            layer._move(device)
        return self

    def _move(self, device) -> None:
        """Compute on a device from here on, apart from layers inside."""
        self._device = device

    # Building

    @tracebacks.edge
    def build(self, input_shape: Shape) -> None:
        """Create the weights for inputs of a shape; a layer that was built before keeps its own.

        Parameters
        ----------
        input_shape : tuple
            Batch size and lengths may be None, features may not.

        Raises
        ------
        ValueError
            For a shape that the layer can't take, or another one than it was built for.
        """
        with build_lock:
            if self.built:
                self._check_shape(self._shape(input_shape))
            else:
                self._build_with(input_shape, self.dtype or np.dtype("float32"))

    def _build_with(self, shape, dtype):
        """Build with the precision in place; a failure leaves the layer as it was."""
        shape = self._shape(shape)
        with build_lock:
            if self.built:
                return
            self.dtype, self._scope = dtype, symbolic.scope.get()
            try:
                self._build(shape)
            except BaseException:
                self.dtype = self._given_dtype
                raise
            self._input_shape = self._opened(shape)
            self.built = True

    def _shape(self, shape) -> tuple:
        """Return an input shape, checked for its rank."""
        return validation.shape(shape, self._least_rank, self._axes, self._most_rank)

    def _opened(self, shape) -> tuple:
        """Return the shape that the layer is built for, with None where later inputs may differ."""
        return (None,) * len(shape[: self._open_axes]) + shape[self._open_axes :]

    def _build(self, shape):
        """Create all that depends on the input; `shape` has passed the checks."""

    def _check_shape(self, shape):
        """Refuse another input shape than the layer was built for."""
        expected = self._input_shape[self._open_axes :]
        if shape[self._open_axes :] != expected:
            raise validation.shape_error("x", self._axes, expected, shape)

    # Weights in fewer bits

    _quantization: str | None = None

    @property
    def quantization(self) -> str | None:
        """The `dtype` of `quantize`; of layers together, that of the first quantized one."""
        return next((one._quantization for one in self._all_layers() if one._quantization), None)

    @tracebacks.edge
    def quantize(self, dtype: DType) -> Any:
        """Store weights in fewer bits, for calls without gradients: less memory, and faster where memory is the limit.

        The matrices that products read are rounded to ``dtype``; states and arithmetic stay float32. All other weights,
        such as biases, stay as they are. `weights` shows the rounded values, and weights that are set are rounded.

        Parameters
        ----------
        dtype : {"bfloat16", "int8", None}
            bfloat16 has 8 bits of precision; int8 has a scale for each column of a matrix, a float32. None takes the
            rounded weights as float32 from here on, so that the layer can be trained again.

        Returns
        -------
        Layer
            This one.

        Raises
        ------
        ValueError
            For another dtype; for a layer that isn't built, not of float32, on a GPU, or whose step can't be traced;
            for int8 of weights that aren't finite. Nothing is changed then.

        Examples
        --------
        >>> import numpy as np, rnnkit as rk
        >>> layer = rk.GRU(8, seed=0)
        >>> x = np.ones((2, 5, 3), "float32")
        >>> y = layer(x)
        >>> bool(np.abs(layer.quantize("bfloat16")(x) - y).max() < 0.01)
        True
        """
        quantizing.quantize(self, dtype)
        return self

    def ensemble(self, n: int) -> Ensemble:
        """Return n layers like this one as one, see `rnnkit.Ensemble`: called, differentiated and trained at once.

        Parameters
        ----------
        n : int
            Member k has the weights that this layer would have if k were added to its seed.

        Returns
        -------
        Ensemble
            This layer stays as it is.

        Examples
        --------
        >>> import numpy as np, rnnkit as rk
        >>> many = rk.LSTM(4, seed=1).ensemble(10)
        >>> x = np.ones((2, 5, 3), "float32")
        >>> many(x).shape, many.weights["kernel"].shape
        ((10, 2, 4), (10, 3, 16))
        >>> np.array_equal(many(x)[2], rk.LSTM(4, seed=3)(x))
        True
        """
        return ENSEMBLE[0](self, n)

    # Randomness: one child sequence for weights, one for the draws of calls, the others for parts.

    @UsersOwn
    def seed(self) -> Any:
        """The seed as given."""
        return self._given_seed

    def _draw_generator(self) -> np.random.Generator:
        """Return the generator that calls draw masks from, in the state after the last call."""
        if self._generator is None:
            self._generator = np.random.default_rng(seeds.spawned(self, 2)[1])
        return self._generator

    def _adopt_seed(self, sequence: np.random.SeedSequence) -> None:
        """Take a seed from the layer or model that contains this one."""
        self._given_seed, self._sequence, self._generator = sequence, sequence, None

    # Weights

    def _parts(self) -> dict[str, Layer]:
        """Return the layers inside this one, by the path that their weights' names begin with."""
        return {}

    def _own_arrays(self) -> dict[str, np.ndarray]:
        """Return this layer's own weights."""
        return {}

    def _own_weight_options(self) -> dict[str, WeightOptions]:
        """Return the options of this layer's own weights in training."""
        return dict.fromkeys(self._own_arrays(), PLAIN)

    def _put_own_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace some of this layer's own weights; the arrays are checked and frozen."""

    def _make_own_sparse(self, names: AbstractSet[str]) -> None:
        """Let some of this layer's own weights be sparse, if products with them can be."""

    def _weights_now(self, weights=None) -> dict[str, np.ndarray]:
        """Return this layer's own weights, or those given, as a call has to read them."""
        return weights_now(self._own_arrays() if weights is None else weights)

    def _arrays(self) -> dict[str, np.ndarray]:
        return all_expanded(self._held_arrays())

    def _gathered(self, own: Callable[[Any], Mapping[str, Any]]) -> dict[str, Any]:
        """Return what a function gives by name of this layer and of those inside, with their paths before the names."""
        found = dict(own(self))
        for path, part in self._parts().items():
            found.update({f"{path}/{name}": one for name, one in part._gathered(own).items()})
        return found

    def _held_arrays(self) -> dict[str, np.ndarray]:
        """Return the weights as they are stored, some perhaps in fewer bits."""
        return self._gathered(lambda one: one._own_arrays())

    def _complex_names(self) -> Iterable[str]:
        return () if (cell := self._own_cell()) is None else cell._complex_weights()

    def _own_cell(self) -> Cell | None:
        """Return the cell whose program this layer runs, if it is built; None without one."""
        return None

    def _put_arrays(self, arrays: Mapping[str, np.ndarray], sparse: AbstractSet[str] = frozenset()) -> None:
        """Replace weights by checked and frozen arrays; those named `sparse` are sparse from here on."""
        parts = self._parts()
        own = {name: array for name, array in arrays.items() if name.partition("/")[0] not in parts}
        try:
            if own:
                self._put_own_arrays(own)
            if own_sparse := sparse & own.keys():
                self._make_own_sparse(own_sparse)
                assigned(self, "_execution")
        finally:
            weights_replaced()
        for path, part in parts.items():
            inside = {n.partition("/")[2]: a for n, a in arrays.items() if n.partition("/")[0] == path}
            if inside:
                part._put_arrays(inside, {n.partition("/")[2] for n in sparse if n.partition("/")[0] == path})

    @by_attributes
    def _weight_options(self) -> dict[str, WeightOptions]:
        """Return the options of every weight in training, by the names of `_arrays`."""
        weight_options = dict(self._own_weight_options())
        for path, part in self._parts().items():
            weight_options.update({f"{path}/{name}": one for name, one in part._weight_options().items()})
        if self.trainable:
            return weight_options
        return {name: replace(one, trainable=False) for name, one in weight_options.items()}

    @property
    def trainable_weights(self) -> Mapping[str, np.ndarray]:
        """Name to read-only array of the weights that training changes.

        Examples
        --------
        >>> import rnnkit as rk
        >>> model = rk.Sequential([rk.GRU(4, return_sequences=True), rk.Dense(1)])
        >>> model.build((None, None, 3))
        >>> model.layers[0].trainable = False
        >>> list(model.trainable_weights)
        ['1/kernel', '1/bias']
        """
        weight_options = self._weight_options()
        return MappingProxyType({name: array for name, array in self.weights.items() if weight_options[name].trainable})

    def _own_variables(self) -> dict[str, Variable]:
        """Return this layer's own weights as variables."""
        return {name: WeightVariable(self, name, one) for name, one in self._own_weight_options().items()}

    def _own_key(self, name: str) -> Any:
        """Return the `Variable.key` of one of this layer's own weights."""
        return id(self), name

    def _named_variables(self) -> dict[str, Variable]:
        """Return every weight as a variable, by its name in `weights`."""
        return self._gathered(lambda one: one._own_variables())

    @property
    def variables(self) -> list[Variable]:
        """The weights as variables, which can be assigned, in the order of `weights`; none before `build`.

        Examples
        --------
        >>> import numpy as np, rnnkit as rk
        >>> layer = rk.Dense(2, seed=0)
        >>> layer.build((None, 3))
        >>> [(one.path, one.shape) for one in layer.variables]
        [('dense/kernel', (3, 2)), ('dense/bias', (2,))]
        >>> layer.bias.assign_add([1.0, 2.0])
        >>> layer.weights["bias"]
        array([1., 2.], dtype=float32)
        """
        return self._variables_if(True, False)

    @property
    def trainable_variables(self) -> list[Variable]:
        """The variables that training changes."""
        return self._variables_if(True)

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The variables that training leaves as they are, moving averages too."""
        return self._variables_if(False)

    def _variables_by_key(self) -> dict[Any, tuple[Variable, bool]]:
        """Return each variable once, and whether training changes it."""
        known = self._weight_options()
        return {one.key: (one, known[name].trainable) for name, one in self._named_variables().items()}

    @by_attributes
    def _variables_inside(self) -> dict | None:
        """Return the result of `_variables_by_key`; None if it would keep the layer alive."""
        found = self._variables_by_key()
        return None if any(getattr(one, "_layer", None) is self for one, _ in found.values()) else found

    def _variables_if(self, *wanted: bool) -> list[Variable]:
        found = self._variables_inside() or self._variables_by_key()
        return [one for one, trainable in found.values() if trainable in wanted]

    if not TYPE_CHECKING:  # a type checker would accept any attribute

        def __getattr__(self, name: str) -> Any:
            """Return a weight of the layer's own as a variable, if it is built."""
            if name[0] == "_":  # a frequent case
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            if self.__dict__.get("built") and name in self._own_arrays():
                return self._own_variables()[name]
            return super().__getattribute__(name)  # which raises the error, perhaps that of a property

    @property
    def losses(self) -> list:
        """The losses that the last call has added, and the penalties of the trained weights' regularizers."""
        added = [loss for one in self._all_layers() for loss in vars(one).get("_added_losses", ())]
        return added + [tape.penalty(one) for one in self.trainable_variables if one.regularizer is not None]

    def stateless_call(
        self,
        trainable_variables: Any,
        non_trainable_variables: Any,
        *arguments: Any,
        return_losses: bool = False,
        **keywords: Any,
    ) -> Any:
        """Call the layer with other weights than its own, which stay.

        Parameters
        ----------
        trainable_variables, non_trainable_variables : list of array_like
            As many, in the order and of the shapes of the properties of these names.
        *arguments, **keywords
            Arguments of the call.
        return_losses : bool
            Give `losses` with these weights too.

        Returns
        -------
        outputs, non_trainable_variables
            And the losses where they are wanted.

        Raises
        ------
        ValueError
            For other weights, and before the layer is built.

        Examples
        --------
        >>> import numpy as np, rnnkit as rk
        >>> layer = rk.Dense(1, seed=0)
        >>> layer.build((None, 3))
        >>> y, _ = layer.stateless_call([np.ones((3, 1)), np.ones(1)], [], np.ones((1, 3)))
        >>> y.tolist(), bool(layer.weights["bias"] == 0)
        ([[4.0]], True)
        """
        fixed = self.non_trainable_variables
        given = [*trainable_variables, *non_trainable_variables]
        with tape.other_weights([*self.trainable_variables, *fixed], given):
            outputs = self(*arguments, **keywords)
            after = [one.value for one in fixed]
            return (outputs, after, self.losses) if return_losses else (outputs, after)

    @property
    def weights(self) -> Weights:
        """The weights by name, read-only, in the order of `get_weights`; empty before `build`."""
        return Weights(self)

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of the weights, in Keras's order."""
        return [shown(self, name, array).copy() for name, array in self._held_arrays().items()]

    def set_weights(self, weights: Any) -> None:
        """Replace all weights.

        Parameters
        ----------
        weights : list of array_like
            As many, in the order and of the shapes of `get_weights`; copied and cast. A ``scipy.sparse`` array makes a
            sparse weight of one that was not.

        Raises
        ------
        ValueError
            If their number or a shape differs, or the layer isn't built; nothing is changed then.
        """
        arrays = self._arrays()
        if not hasattr(weights, "__iter__"):
            raise TypeError(f"expected a list of weights, got {type(weights).__name__}")
        weights = list(weights)
        if len(weights) != len(arrays):
            hint = "" if self.built else "; build the layer first"
            raise ValueError(
                f"expected {len(arrays)} weights ({', '.join(arrays) or 'none'}), got {len(weights)}{hint}"
            )
        pairs, axes = zip(arrays.items(), weights, strict=True), pair_axes(self)
        new = {name: like(old, value, name, axes.get(name)) for (name, old), value in pairs}
        self._put_arrays(new, {name for name, value in zip(arrays, weights, strict=True) if is_scipy_sparse(value)})

    def save_weights(self, path: Any, overwrite: bool = True) -> None:
        """Write the weights to a file, whole or not at all.

        Parameters
        ----------
        path : str or os.PathLike
            Written exactly there; a suffix ``.safetensors`` asks for that format, any other for that of
            ``numpy.savez``.
        overwrite : bool
            Whether a file that is there may be replaced.

        Raises
        ------
        ValueError
            If the layer isn't built.
        FileExistsError
            If there is a file and `overwrite` is False.

        Examples
        --------
        >>> import os, tempfile
        >>> import numpy as np, rnnkit as rk
        >>> layer, other = rk.GRU(4, seed=0), rk.GRU(4, seed=1)
        >>> layer.build((None, None, 3))
        >>> other.build((None, None, 3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     layer.save_weights(os.path.join(folder, "gru.npz"))
        ...     other.load_weights(os.path.join(folder, "gru.npz"))
        >>> bool(np.all(other.weights["kernel"] == layer.weights["kernel"]))
        True
        """
        weight_files.save_weights(self, path, overwrite)

    def load_weights(self, path: Any) -> None:
        """Replace all weights by those in a file, found by their names and cast to this layer's dtype.

        Parameters
        ----------
        path : str or os.PathLike
            A file of `save_weights` or `save`, or any file of safetensors with arrays of these names.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the layer isn't built, a weight is missing, unknown or of another shape, or the file is damaged or isn't
            one of weights; nothing is changed then.
        """
        weight_files.load_weights(self, path)

    def save(self, path: Any, *, states: bool = False, overwrite: bool = True) -> None:
        """Write the layer to a file, whole or not at all: configuration and weights, for `rnnkit.load_model`.

        Parameters
        ----------
        path : str or os.PathLike
            Written exactly there. A suffix ``.rnnkit`` or ``.safetensors`` asks for the format of safetensors, any
            other for that of ``numpy.savez``.
        states : bool
            Write the states that stateful layers have kept, too.
        overwrite : bool
            Whether a file that is there may be replaced.

        Raises
        ------
        ValueError
            If the layer isn't built, or a function in it has no name that a configuration could give.
        FileExistsError
            If there is a file and `overwrite` is False.

        Examples
        --------
        >>> import os, tempfile
        >>> import numpy as np, rnnkit as rk
        >>> layer = rk.GRU(4, seed=0)
        >>> x = np.ones((2, 5, 3))
        >>> y = layer(x)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     layer.save(os.path.join(folder, "gru.npz"))
        ...     again = rk.load_model(os.path.join(folder, "gru.npz"))
        >>> np.array_equal(again(x), y)
        True
        """
        model_files.save(self, path, states=states, overwrite=overwrite)

    def _own_sparse_names(self) -> AbstractSet[str]:
        """Return the names of the sparse weights among this layer's own."""
        return frozenset()

    def count_params(self) -> int:
        """Return how many numbers the weights hold.

        Raises
        ------
        ValueError
            If the layer isn't built.
        """
        if not self.built:
            raise ValueError(
                f"expected the layer {self.name!r} to be built; call build(input_shape) or the layer first"
            )
        return sum(array.size for array in self._held_arrays().values())

    # Calls and gradients

    @entry.entered
    def __call__(self, inputs: Array, mask: Array = None, training: bool = False) -> Any:
        """Apply the layer; NaN and infinity at masked steps count as 0.

        Parameters
        ----------
        inputs : array_like (B, …), or a list of them for layers of several
        mask : array_like (B, T), optional
            Non-zero uses a step.
        training : bool
            Whether the call is one of training, for layers that do something else then.

        Raises
        ------
        ValueError, TypeError
            For an input that doesn't fit; no layer is changed then.
        """
        return self._called(inputs, mask, training)

    @entry.entered_vjp
    def vjp(
        self, inputs: Array, mask: Array = None, training: bool = False, *, checkpoint: Any = None, truncate: Any = None
    ) -> Any:
        """Run a call, and return the function from cotangents of its result to those of its inputs.

        Parameters
        ----------
        inputs, mask, training
            As in a call.
        checkpoint, truncate
            As in `RNN.vjp`, for recurrent layers inside; without any they change nothing.

        Returns
        -------
        outputs
            The same bits as the call's.
        pullback : callable
            ``pullback(d_outputs)``, with cotangents nested as `outputs` (None for zeros), gives `Gradients`:
            ``weights`` (dict by name) and ``x``, nested as `inputs` and None for ids; of a model with stateful layers
            ``initial_state``, an entry for each. It may be called more than once.

        Raises
        ------
        ValueError, TypeError
            As a call; and where the gradient of a layer or a function inside isn't known.

        Examples
        --------
        >>> import numpy as np, rnnkit as rk
        >>> model = rk.Sequential([rk.Embedding(10, 3, mask_zero=True), rk.GRU(4), rk.Dense(1)], seed=0)
        >>> y, pullback = model.vjp([[1, 2, 0], [3, 1, 4]])
        >>> gradient = pullback(np.ones_like(y))
        >>> gradient.weights["0/embeddings"].ids.tolist(), gradient.weights["1/kernel"].shape
        ([0, 1, 2, 3, 4], (3, 12))
        """
        return self._vjp(inputs, mask, training, options(checkpoint, truncate))

    def _vjp(self, inputs, mask, training, wanted):
        """Return the result of `vjp`; `wanted` has its checked keywords."""
        return self._with_pullback(*self._applied(inputs, mask, training))

    def _with_pullback(self, outputs, back):
        """Return the result of `vjp` by that of `_applied`."""
        shapes, dtype = [one.shape for one in symbolic.leaves(outputs)], self.dtype

        def pull(cotangents):
            pairs = zip(cotangents, shapes, strict=True)
            return back(*(constant(np.zeros(shape, dtype)) if one is None else one for one, shape in pairs))

        return outputs, Pullback(outputs, dtype, pull)

    def _called(self, inputs, mask, training):
        """Return a call's result, the first thing that `_applied` gives."""
        return self._applied(inputs, mask, training)[0]

    def _applied(self, inputs, mask, training):
        """Return a call's result, one array or several, and the function from their cotangents to `Gradients`.

        Both compute with the weights that `_weights_now` gives.
        """
        raise NotImplementedError

    # Shapes and masks

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of a call's result; None for the batch size or a length stays None."""
        return self._shape(input_shape)

    @array_kinds.handled
    @makes_no_mask
    def compute_mask(self, inputs: Array, mask: Array = None) -> Any:
        """Return the mask that goes with the output: the input's."""
        return None if mask is None else validation.given(mask, "mask")

    def _with_mask(self, x, mask, training, more=NO_MORE):
        """Return a call's output and its mask; `more` are states, constants and other keywords."""
        outputs = self(x, mask=mask, training=training, **more)
        return outputs, self._mask_behind(x, mask, outputs, more)

    def _mask_behind(self, x, mask, outputs=None, more=NO_MORE):
        """Return the result of `compute_mask`, which is recorded, unless it is known to be None."""
        if mask is None and getattr(type(self).compute_mask, "makes_no_mask", False):
            return None
        return self.compute_mask(x, mask)

    def _vjp_with_mask(self, x, mask, training, wanted, more=NO_MORE):
        """Return the result of `vjp`, with the mask of the output."""
        outputs, pullback = self.vjp(x, mask=mask, training=training, **more, **wanted)
        return outputs, self._mask_behind(x, mask, outputs, more), pullback

    # Lists of sequences

    def _takes_sequences(self) -> bool:
        """Return whether a list of arrays is a list of sequences."""
        return self._padding is not None

    def _least_axes(self) -> int:
        """Return the least number of axes of its input."""
        return self._least_rank

    def _nests(self, value) -> bool:
        """Return whether an input is several arrays that are read side by side, and so is no list of sequences."""
        return False

    def _padding_of(self, shape) -> str | None:
        """Return `_padding` for inputs of a shape; all inputs without a time axis of any length may be padded."""
        return self._padding if len(shape) > 1 and shape[1] is None else "masked"

    def _turns_time(self) -> list[bool]:
        """Return, for each output, whether its steps are in the reverse order of the input's."""
        return [False]

    # Symbolic calls

    @property
    def input(self) -> Any:
        """The inputs of the last symbolic call of this layer: a symbolic tensor, or nested lists of them.

        Raises
        ------
        AttributeError
            If there was none, or the model that it was made for is gone.
        """
        return symbolic.last_call(self).x

    @property
    def output(self) -> Any:
        """The outputs of the last symbolic call of this layer: a symbolic tensor, or a list of them.

        Raises
        ------
        AttributeError
            As `input`.

        Examples
        --------
        >>> import rnnkit as rk
        >>> x = rk.Input((None, 3))
        >>> layer = rk.GRU(4)
        >>> model = rk.Model(x, rk.Dense(1)(layer(x)))
        >>> rk.Model(model.inputs, layer.output).compute_output_shape((2, 5, 3))
        (2, 4)
        """
        outputs = symbolic.last_call(self).outputs
        return list(outputs) if len(outputs) > 1 else outputs[0]

    def _arranged(self, inputs):
        """Return the inputs of a call, as one array or nested lists."""
        return inputs

    def _call_arguments(self, call, arguments, keywords) -> dict:
        """Return a call's arguments by the names of its parameters, the inputs first."""
        bound = _signature(call).bind(self, *arguments, **keywords).arguments
        return dict(list(bound.items())[1:])

    def _on(self, inputs, **more):
        """Call the layer on inputs and the other arguments of `_call_arguments`."""
        return self(inputs, **more)

    def _vjp_on(self, inputs, **more):
        """Return the vjp of a call on inputs and the other arguments of `_call_arguments`."""
        return self.vjp(inputs, **more)

    def _given_for(self, node, shape):
        """Return the shapes and the dtype of a symbolic call's results."""
        return self._shapes_given(shape, node.options), self.dtype

    def _shapes_given(self, shape, options: dict):
        """Return the shapes of the results of a call with these options."""
        return self.compute_output_shape(shape)

    def _check_given(self, rows, initial_state=None, constants=None):
        """Refuse states and constants of wrong shapes for a call with so many rows."""

    def _check_masks(self, shape, masks: dict):
        """Refuse masks of wrong shapes; they are nested as symbolic tensors are."""

    # Configuration

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON values; `from_config` makes an unbuilt layer of them."""
        seed = self._given_seed
        if isinstance(seed, np.random.SeedSequence):
            seed = {"entropy": seed.entropy, "spawn_key": list(seed.spawn_key)}
        elif seed is not None and not isinstance(seed, dict):
            seed = int(seed)
        base = {"dtype": None if self.dtype is None else self.dtype.name, "seed": seed, "name": self.name}
        config = config_of(self) | base
        if self.activity_regularizer is None:
            config.pop("activity_regularizer", None)
        return config

    @classmethod
    def from_config(cls, config: Config, custom_objects: CustomObjects = None) -> Self:
        """Return a new layer, not built, from what `get_config` gave."""
        given = {name: config[name] for name in cls._object_arguments}
        return cls(**(config | {name: one if one is None else deserialize(one) for name, one in given.items()}))

    # All or nothing: a call of a layer with parts that fails halfway leaves every part as it was.

    def _all_layers(self) -> list[Layer]:
        return [self, *self._layers_below()]

    @by_attributes
    def _layers_below(self) -> list[Layer]:
        return [layer for part in self._parts().values() for layer in part._all_layers()]

    @contextlib.contextmanager
    def _all_or_nothing(self):
        before = [(one, one.built, getattr(one, "_kept", None), one._moving()) for one in self._all_layers()]
        try:
            yield
        except BaseException:
            for layer, built, kept, moving in before:
                if getattr(layer, "_kept", None) is not kept:
                    layer._kept = kept
                if moving:
                    layer._put_own_arrays(moving)
                if layer.built and not built:
                    layer._forget()
            raise

    @contextlib.contextmanager
    def _calling_parts(self):
        """Call the layers inside, all or nothing, within this; they see whether this layer is frozen."""
        token = None if self.trainable else frozen_outside.set(True)
        try:
            with self._all_or_nothing(), kept(self):
                yield
        finally:
            if token is not None:
                frozen_outside.reset(token)

    def _moving(self) -> dict[str, np.ndarray]:
        """Return this layer's own weights that its calls change, such as moving averages."""
        return {}

    def _forget(self) -> None:
        """Undo a build."""
        self.built, self.dtype, self._input_shape = False, self._given_dtype, None

    # Display

    def _arguments(self) -> str:
        """Return the arguments that differ from the defaults, as code for the constructor."""
        from rnnkit.cards import arguments

        config = self.get_config()
        hidden = {"dtype", "name"} if isinstance(config.get("seed"), int) else {"dtype", "name", "seed"}
        return arguments(type(self), config, hidden)

    def __repr__(self) -> str:
        from rnnkit.cards import told

        return f"{type(self).__name__}({told(self._arguments)})"

    def explain(self, source: bool = False, graph: bool = False) -> str:
        """Return how every step inside is compiled, as `RNN.explain`, each text behind the step's path."""
        lines = ((path, part.explain(source=source, graph=graph)) for path, part in self._parts().items())
        return Text("\n\n".join(f"{path}: {text}" for path, text in lines if text))

    def _how_compiled(self) -> str:
        """Return how the steps inside are compiled, for layers that have any."""
        lines = ((path, part._how_compiled()) for path, part in self._parts().items())
        return "; ".join(f"{path}: {line}" for path, line in lines if line)

    def _card(self, depth: int = 0) -> Card:
        """Return the card for ``print`` and a notebook; `depth` says how many layers this one is inside."""
        return layer_card(self, depth)
