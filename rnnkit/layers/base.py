"""The base of all layers: a name, a precision, a seed, weights by name, a configuration and its display."""

from __future__ import annotations

import functools
import inspect
import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Never, Self

import numpy as np

from rnnkit import regularizers, tracebacks
from rnnkit.arguments import is_own
from rnnkit.circumstances import USUAL, circumstances
from rnnkit.configured import config_of
from rnnkit.docstrings import describe_by_bases
from rnnkit.execution.execution import build_lock
from rnnkit.hints import Array, Config, CustomObjects, DType, Regularizer, Seed, Shape
from rnnkit.layers.stream import Stream
from rnnkit.layers.support import (
    array_kinds,
    device_transfer,
    entry,
    model_files,
    seeds,
    symbolic,
    tape,
    validation,
    weight_files,
)
from rnnkit.layers.support.assignments import Assigned, Changes, Watchful
from rnnkit.layers.support.bound_calls import mask_behind
from rnnkit.layers.support.display import Text, layer_card
from rnnkit.layers.support.held_weights import HeldWeights
from rnnkit.layers.support.layer_tree import (
    all_layers,
    arrays_by_name,
    build_with,
    held_by,
    options_by_name,
    put_arrays,
)
from rnnkit.layers.support.pullback import options
from rnnkit.layers.support.variable import Variable, variables_of
from rnnkit.layers.support.weight_mapping import Weights, like, pair_axes, shown
from rnnkit.serialization.configuration import deserialize
from rnnkit.serialization.registry import Configurable
from rnnkit.shown import Shown
from rnnkit.steps.cell import is_scipy_sparse

if TYPE_CHECKING:
    from rnnkit.models.ensemble import Ensemble

NO_MORE: Mapping[str, Any] = {}  # no other keywords of a call
ENSEMBLE: list[Callable] = []  # the function that makes an ensemble of a layer, registered by the models


_signature = functools.lru_cache(maxsize=256)(inspect.signature)


def default_name(layer: Layer) -> str:
    """Return the name of a layer without one: its class's, in small letters, unless it has another default."""
    kind = type(layer).__name__
    return layer._default_name or re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[0-9])(?=[A-Z][a-z])", "_", kind).lower()


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
@entry.entered_mask
def no_mask(self: Layer, inputs: Array, mask: Array = None) -> Any:
    """Return None: the result has other steps, or none."""
    return None


class Layer(Watchful, Shown, Configurable):
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
    _default_name: str | None = None
    _axes_in_front = 0  # of results, before the batch axis
    _object_arguments: tuple[str, ...] = ()  # the constructor's arguments that are cells or layers

    _is_read_once = False  # whether a user's class is traced once, rather than run at each call
    _takes_unbatched = False  # whether symbolic weights, which have no batch axis, may be among its inputs
    # The sequences of a list that are joined in a batch: all, padded under a mask ("masked"), or those of equal lengths
    # ("lengths"); None for layers that take lists of arrays as they are.
    _padding: str | None = None
    _takes_list = False  # whether a list of arrays is what it merges, rather than sequences
    _least_axes: int | None = None  # the least number of axes of its input, `_least_rank` unless given
    _reverses_time: Sequence[bool] = (False,)  # for each output, whether its steps are in the input's reverse order
    _reads_ids = _reads_complex = False  # whether its inputs are integer ids, and whether they are complex numbers
    _stream_refusal: str | None = "needs whole sequences"  # why it can't take one step at a time; None if it can

    _is_operation = False  # whether it is what an operator or a function of NumPy recorded, rather than a layer
    input_spec: Any = None  # has ``check(arrays, name)``, which calls of classes of the user's and of models make

    _native = False  # whether a call computes on its arrays' device, or copies those of a GPU to the host and back
    _device = "cpu"
    _recorded_bytes = 1 << 20  # of arguments, up to which gradients are recorded, and calls however long they take
    _call_runner: Any = None
    _vjp_runner: Any = None

    _held_weights: type[HeldWeights] = HeldWeights  # its own weights
    # From inputs, mask and training to a call's result; with the keywords of a vjp to the result and its pullback.
    _call: Callable[..., Any]
    _scope = ""  # the names of the layers that built it, as "model/block/"
    _kept: Any  # the states of a stateful layer between calls

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
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
        self.name: str = name or default_name(self)
        self.built: bool = False
        self._input_shape: Any = None  # until it is built
        self._generator: np.random.Generator | None = None
        self.activity_regularizer: Any = regularizers.get(activity_regularizer)
        self._call_runner, self._vjp_runner, self._hvp_runners = entry.runners()
        self._assigned = Assigned()

    def __setattr__(self, name: str, value: Any) -> None:
        is_weight = name[0] != "_" and self.__dict__.get("built") and name in held_by(self).arrays()
        if is_weight and not isinstance(value, Variable):
            raise AttributeError(
                f"expected the weight {name!r} of {self.name!r} to be replaced by layer.{name}.assign(value)"
            )
        super().__setattr__(name, value)

    # Calls on one array alone: what the last one decided holds while no attribute of a layer, and no weight, is set

    def _planned(self, x, training) -> Any:
        """Return what was decided at a call on an array like x; None if anything may be different now."""
        plan = self._assigned.plan
        if plan is None or type(x) is not np.ndarray or plan[0] != (Changes.last, x.shape, x.dtype, training):
            return None
        return plan[2] if plan[1]() is self and x.flags.carray and circumstances() is USUAL else None

    def _plan(self, last: int, x, training, decided) -> None:
        """Keep what a call that began after a `last` change has decided, from the kind of x alone."""
        if type(x) is np.ndarray and circumstances() is USUAL and x.nbytes <= self._recorded_bytes:
            key = last, x.shape, x.dtype, training
            self._assigned.plan = key, weakref.ref(self), decided  # shallow copies share it

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
            For an unknown device.
        RuntimeError
            If the package, the driver or a GPU is missing; nothing is changed then.

        Examples
        --------
        >>> import rnnkit as rk
        >>> rk.GRU(4).to("cpu").device
        'cpu'
        """
        device = device_transfer.usable(device)
        device_transfer.move(self, device)
        return self

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
                build_with(self, input_shape, self.dtype or np.dtype("float32"))

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

    # Weights

    def _parts(self) -> dict[str, Layer]:
        """Return the layers inside this one, by the path that their weights' names begin with."""
        return {}

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
        found = options_by_name(self)
        return MappingProxyType({name: array for name, array in self.weights.items() if found[name].trainable})

    @property
    def non_trainable_weights(self) -> Mapping[str, np.ndarray]:
        """Name to read-only array of the other weights."""
        trained = self.trainable_weights.keys()
        return MappingProxyType({name: array for name, array in self.weights.items() if name not in trained})

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
        return variables_of(self)

    @property
    def trainable_variables(self) -> list[Variable]:
        """The variables that training changes."""
        return variables_of(self, trainable=True)

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The variables that training leaves as they are, moving averages too."""
        return variables_of(self, trainable=False)

    if not TYPE_CHECKING:  # a type checker would accept any attribute

        def __getattr__(self, name: str) -> Any:
            """Return a weight of the layer's own as a variable, if it is built."""
            if name[0] == "_":  # a frequent case
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            if self.__dict__.get("built") and name in held_by(self).arrays():
                return held_by(self).variables()[name]
            return super().__getattribute__(name)  # which raises the error, perhaps that of a property

    @property
    def losses(self) -> list:
        """The losses that the last call has added, and the penalties of the trained weights' regularizers."""
        added = [loss for one in all_layers(self) for loss in vars(one).get("_added_losses", ())]
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
        return [shown(self, name, array).copy() for name, array in arrays_by_name(self).items()]

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
        arrays = arrays_by_name(self)
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
        put_arrays(self, new, {name for name, value in zip(arrays, weights, strict=True) if is_scipy_sparse(value)})

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
        return sum(array.size for array in arrays_by_name(self).values())

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
        return self._call(inputs, mask, training)

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
        return self._call(inputs, mask, training, options(checkpoint, truncate))

    # Steps one at a time

    @tracebacks.edge
    def stream(self, batch: Any = 1) -> Stream:
        """Return a stream that runs this layer or model one step at a time, see `rnnkit.layers.stream.Stream`.

        Parameters
        ----------
        batch : int
            The number of sequences side by side.

        Raises
        ------
        ValueError
            If it isn't built, or a layer needs whole sequences.

        Examples
        --------
        >>> import numpy as np, rnnkit as rk
        >>> model = rk.Sequential([rk.LSTM(4, return_sequences=True), rk.Dense(1)], seed=0)
        >>> x = np.ones((2, 3, 1), "float32")
        >>> y = model(x)
        >>> stream = model.stream(batch=2)
        >>> all(np.array_equal(stream.step(x[:, t]), y[:, t]) for t in range(3))
        True
        """
        return Stream(self, batch)

    # Shapes and masks

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of a call's result; None for the batch size or a length stays None."""
        return self._shape(input_shape)

    @array_kinds.handled
    @makes_no_mask
    def compute_mask(self, inputs: Array, mask: Array = None) -> Any:
        """Return the mask that goes with the output: the input's."""
        return None if mask is None else validation.given(mask, "mask")

    def _with_mask(self, x, mask, training, more=NO_MORE, wanted=None):
        """Return a call's output, its mask and, with the keywords `wanted` of a vjp, its pullback, else None.

        `more` are states, constants and other keywords.
        """
        if wanted is None:
            outputs, pullback = self(x, mask=mask, training=training, **more), None
        else:
            outputs, pullback = self.vjp(x, mask=mask, training=training, **more, **wanted)
        return outputs, mask_behind(self, x, mask), pullback

    def _padding_of(self, shape) -> str | None:
        """Return `_padding` for inputs of a shape; all inputs without a time axis of any length may be padded."""
        return self._padding if len(shape) > 1 and shape[1] is None else "masked"

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

    def _call_arguments(self, call, arguments, keywords) -> dict:
        """Return a call's arguments by the names of its parameters, the inputs first, as one array or nested lists."""
        bound = _signature(call).bind(self, *arguments, **keywords).arguments
        return dict(list(bound.items())[1:])

    def _as_call(self, inputs, more: dict) -> tuple[tuple, dict]:
        """Return the arguments and keywords of a call, of inputs and the other arguments of `_call_arguments`."""
        return (inputs,), more

    def _given_for(self, node, shape):
        """Return the shapes and the dtype of a symbolic call's results."""
        return symbolic.shapes_given(self, shape, node.options), self.dtype

    # Configuration

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON values; `from_config` makes an unbuilt layer of them."""
        seed = self._given_seed
        if isinstance(seed, np.random.SeedSequence):
            seed = {"entropy": seed.entropy, "spawn_key": list(seed.spawn_key)}
        elif seed is not None and not isinstance(seed, dict):
            seed = int(seed)
        base = {"dtype": None if self.dtype is None else self.dtype.name, "seed": seed, "name": self.name}
        config = {name: value for name, value in config_of(self).items() if name not in base} | base
        if self.activity_regularizer is None:
            config.pop("activity_regularizer", None)
        return config

    @classmethod
    def from_config(cls, config: Config, custom_objects: CustomObjects = None) -> Self:
        """Return a new layer, not built, from what `get_config` gave."""
        given = {name: config[name] for name in cls._object_arguments}
        return cls(**(config | {name: one if one is None else deserialize(one) for name, one in given.items()}))

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
        from rnnkit.cards import text_or_empty

        return f"{type(self).__name__}({text_or_empty(self._arguments)})"

    def explain(self, source: bool = False, graph: bool = False) -> str:
        """Return how every step inside is compiled, as `RNN.explain`, each text behind the step's path."""
        lines = ((path, part.explain(source=source, graph=graph)) for path, part in self._parts().items())
        return Text("\n\n".join(f"{path}: {text}" for path, text in lines if text))

    _card: Callable[..., Any] = layer_card
