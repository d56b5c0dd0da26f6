"""Layers as user's classes with a `call`, which is read once on symbolic tensors and becomes a graph of layers."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from rnnkit import allocation
from rnnkit.arguments import is_own, sizes
from rnnkit.circumstances import weights_now, within
from rnnkit.identity import Same
from rnnkit.initializers import Constant, draw
from rnnkit.layers.base import NO_MORE, Layer, any_shape
from rnnkit.layers.support import entry, symbolic, validation
from rnnkit.layers.support.added_losses import calling_parts, collecting
from rnnkit.layers.support.assignments import assigned, by_attributes, changeable, contents
from rnnkit.layers.support.held_weights import HeldWeights
from rnnkit.layers.support.layer_tree import all_layers, all_or_nothing, arrays_by_name, build_with, options_by_name
from rnnkit.layers.support.pullback import Gradients, options
from rnnkit.layers.support.seeds import inherit_seeds, weight_generator
from rnnkit.layers.support.symbolic import SymbolicTensor, leaves, mapped
from rnnkit.layers.support.variable import Variable
from rnnkit.layers.traced import at_two_lengths, same_sizes
from rnnkit.metrics.metric import Measure
from rnnkit.models.call_arguments import CallArguments, array_leaves, given_call, nested_arrays, with_none
from rnnkit.models.call_trace import CallTrace
from rnnkit.models.constructor import serialized_arguments
from rnnkit.models.layer_cell import LayerCell
from rnnkit.models.weight_arguments import weight_arguments
from rnnkit.opaque import opaque
from rnnkit.serialization.configuration import deserialize
from rnnkit.steps.cell import Cell, frozen
from rnnkit.steps.nesting import leaves_of, shapes_mapped
from rnnkit.steps.weight_options import WeightOptions

_MOST = 64  # kinds of calls whose graphs are kept
_OWN = set("_graphs _before_build _variables _variable_options _made_with _rng _building _other_shapes".split())
_TRACKERS = ("_loss_tracker", "_loss_trackers", "_before_build")  # metrics of training, and attributes of before
_NESTED = (list, tuple, dict)
_BASE = ("name", "trainable", "dtype", "seed")
_OF_OBJECT = {"class_name", "config", "module"}
_HOLDING = (Layer, Cell, list, tuple, dict)


class _WeightsOfVariables(HeldWeights):
    """The weights that a class makes by `add_weight`."""

    __slots__ = ()

    def arrays(self):
        """Return the weights, the trained ones first, as Keras has them."""
        ordered = sorted(self.layer._variables.items(), key=lambda pair: not pair[1].trainable)
        return {name: one.value for name, one in ordered if one.value is not None}

    def options(self):
        return {name: self.layer._variable_options[name][1] for name in self.arrays()}

    def put(self, arrays):
        for name, array in arrays.items():
            self.layer._variables[name].put(array)

    def moving(self):
        """Return the weights that ``call`` assigns."""
        return {name: one.value for name, one in self.layer._variables.items() if one.moves and one.value is not None}

    def variables(self):
        return {name: self.layer._variables[name] for name in self.arrays()}

    def key(self, name):
        return self.layer._variables[name].key


class SubclassedLayer(Layer):
    """Base of layers that are written as classes, as in Keras.

    A subclass makes sublayers in ``__init__`` or ``build`` and keeps them as attributes, also in lists and dicts. It
    makes weights by `add_weight`, and defines ``call(self, inputs, …)``; ``call`` may name ``training`` and ``mask``.
    ``call`` is run once on symbolic tensors for each kind of call (shapes but for the batch size, ``training``, masks
    that are given) and becomes a graph of layers, which runs and is differentiated from then on. So Python's ``if`` and
    ``for`` in it may go by sizes, attributes and ``training``, but not by numbers in arrays.

    Parameters
    ----------
    trainable : bool

    Attributes
    ----------
    supports_masking : bool
        Whether the input's mask goes with the output; otherwise, that of the layer in ``call`` that gives it does. True
        in a class that has a ``compute_mask``, which says the mask then.

    Notes
    -----
    Weights are named by attribute: a layer's own first, then ``dense/kernel``, and ``blocks.0/kernel`` for lists. A
    class without ``get_config`` is saved with the arguments of its constructor.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> from rnnkit.models.subclassed import SubclassedLayer
    >>> class Gated(SubclassedLayer):
    ...     def __init__(self, units, **keywords):
    ...         super().__init__(**keywords)
    ...         self.gate, self.values = rk.Dense(units, activation="sigmoid"), rk.Dense(units)
    ...     def build(self, input_shape):
    ...         self.scale = self.add_weight(shape=(1,), initializer="ones", name="scale")
    ...     def call(self, inputs):
    ...         return self.scale * self.gate(inputs) * np.tanh(self.values(inputs))
    >>> layer = Gated(4, seed=0)
    >>> layer(np.ones((2, 5, 3))).shape
    (2, 5, 4)
    >>> list(layer.weights)
    ['scale', 'gate/kernel', 'gate/bias', 'values/kernel', 'values/bias']
    """

    supports_masking = False
    _held_weights = _WeightsOfVariables
    _as_in_keras = False  # whether positional arguments of calls have to be arrays, and `call` may return None
    _is_read_once = True
    _building = False
    _other_shapes: Mapping[str, Any] = NO_MORE  # of arguments of the call that builds, but the inputs
    _rng: np.random.Generator | None = None
    _before_build: dict | None = None
    _made_with: Any = None

    def __new__(cls, *arguments, **keywords):
        """Create the layer, with its arguments noted for the configuration."""
        instance = super().__new__(cls)
        object.__setattr__(instance, "_made_with", (arguments, keywords))
        return instance

    def __init_subclass__(cls, **keywords):
        if "build" in vars(cls) and not is_own(cls):
            cls.build = _guarded(vars(cls)["build"])  # type: ignore[method-assign]
        if ("__call__" in vars(cls) or "vjp" in vars(cls)) and not is_own(cls):
            cls._is_read_once = False
        if "compute_mask" in vars(cls):
            cls.supports_masking = True
        super().__init_subclass__(**keywords)

    def __init__(self, *, activity_regularizer=None, trainable=True, dtype=None, autocast=True, seed=None, name=None):
        self._variables: dict[str, Variable] = vars(self).get("_variables", {})
        self._variable_options: dict[str, tuple] = vars(self).get("_variable_options", {})
        self._graphs: dict[tuple, CallTrace] = {}
        super().__init__(dtype=dtype, seed=seed, name=name, activity_regularizer=activity_regularizer)
        self.trainable = trainable

    def __setattr__(self, name, value):
        if symbolic.tracing.get() is not None and isinstance(value, SymbolicTensor):
            value = None  # an attribute set for people to look at, without numbers while `call` is read
        if isinstance(value, Variable) and value.is_free and not self.__dict__.get("built"):
            self._hold(name, value)
        super().__setattr__(name, value)
        graphs = self.__dict__.get("_graphs")
        if graphs and name not in _OWN and not name.startswith(("_kept", "_generator")) and "_runner" not in name:
            graphs.clear()

    # Weights

    def add_weight(self, *arguments, **keywords) -> Variable:
        """Make a weight of the layer's own.

        Parameters
        ----------
        shape : tuple of int
            ``()`` by default. Also behind the name, in Keras 2's order ``(name, shape, dtype, initializer, …)``.
        initializer : str, callable or initializer
            Glorot's uniform one by default.
        dtype : str, optional
            Of integers or booleans, of a weight that isn't trained; all others have the layer's.
        trainable : bool
        regularizer, constraint
            As in `rnnkit.Weight`.
        name : str, optional

        Returns
        -------
        Variable
            The weight, for ``call`` to compute with.

        Raises
        ------
        ValueError
            Inside of ``call``, and for a name that there is.
        """
        shape, start, weight_options, name, dtype = weight_arguments(self._variables, arguments, keywords)
        what = f"the weight {name!r} of {self.name!r}"
        if symbolic.tracing.get() is not None and not self._building:
            raise ValueError(f"expected weights to be made in __init__ or build, got {what} made in call")
        if name in self._variables:
            raise ValueError(f"expected weights of different names, got {what} twice")
        shape = sizes(shape, f"the shape of {what}")
        scope = self._scope if self._building else ""
        variable = Variable(name, shape, weight_options.trainable, f"{scope}{self.name}/{name}")
        variable.regularizer, variable.constraint = weight_options.regularizer, weight_options.constraint
        variable.to_be = dtype or self.dtype
        variable.start = start if isinstance(start, Constant) else None
        self._variables[name] = variable
        self._variable_options[name] = start, weight_options
        if self._rng is not None:
            self._draw(name)
        elif self.built:
            raise ValueError(f"expected weights to be made in __init__ or build, got {what} made later")
        return variable

    def _hold(self, attribute: str, variable: Variable) -> None:
        """Let a variable with numbers, that the program made, be one of the layer's own weights."""
        known = vars(self).setdefault("_variables", {})
        if variable.value.dtype.kind != "f" or attribute in known:
            return
        start, variable.is_free = variable.value, False
        options = WeightOptions(variable.trainable, variable.regularizer, variable.constraint)
        known[attribute] = variable
        vars(self).setdefault("_variable_options", {})[attribute] = lambda shape, rng: start, options
        if self._rng is not None:
            self._draw(attribute)

    def _draw(self, name) -> None:
        """Draw the initial values of a weight."""
        variable, what = self._variables[name], f"the weight {name!r} of {self.name!r}"
        allocation.check(what, variable.shape)
        with allocation.named(what):
            dtype = variable.to_be or self.dtype
            values = draw(self._variable_options[name][0], variable.shape, self._rng, dtype)
            variable.put(frozen(values, dtype))
        assigned(self, "_variables")
        self._variable_options[name] = None, self._variable_options[name][1]  # a function need not be pickled

    add_variable = add_weight

    def add_loss(self, loss) -> None:
        """Add to the loss of training and evaluation, in ``call`` or until the next call.

        Parameters
        ----------
        loss : array_like, or list of them
            In ``call`` anything that NumPy's functions give of its arrays and weights, also over the axis of the
            batch, as ``np.mean(z)``. The sum over all entries is added.

        Examples
        --------
        >>> import numpy as np, rnnkit as rk
        >>> from rnnkit.models.subclassed import SubclassedLayer
        >>> class Small(SubclassedLayer):
        ...     def call(self, inputs):
        ...         self.add_loss(0.1 * np.mean(np.square(inputs)))
        ...         return inputs
        >>> layer = Small()
        >>> y = layer(np.array([[1.0], [3.0]]))
        >>> print(layer.losses[0].round(2))
        0.5
        """
        added = getattr(symbolic.tracing.get(), "added", None)
        for one in leaves([loss]):
            if added is not None:
                added.append((self, symbolic.resolved(one)))
            else:
                vars(self).setdefault("_added_losses", []).append(np.sum(one))

    @property
    def metrics(self) -> list:
        """The metrics that are attributes, of this layer and of those inside, also in lists and dicts."""
        return list(own_metrics(self))

    @property
    def metrics_variables(self) -> list:
        """The variables of all metrics that have any."""
        return [variable for one in self.metrics for variable in getattr(one, "variables", ())]

    # Building

    def build(self, input_shape=None) -> None:
        """Create all weights for inputs of a shape, those of sublayers too; a layer that was built keeps its own.

        Parameters
        ----------
        input_shape : tuple, or list of them for several inputs, or None
            None for a layer whose own weights, and those of layers inside, need no shape. A ``build`` of several
            parameters is called with the shapes of the arguments of ``call``, ``mask_shape`` for ``mask``.

        Raises
        ------
        ValueError
            As `Layer.build`, and as ``call``.
        """
        if self._building:  # the end of a chain of super().build
            return
        super().build(input_shape)
        if input_shape is not None and len(given_call(self).required) == 1:
            with all_or_nothing(self):
                self.compute_output_shape(self._shape(input_shape))

    def _build(self, shape):
        variables = dict(self._variables)
        starts = dict(self._variable_options)
        self._before_build = self.__dict__ | {"_variables": variables, "_variable_options": starts, "_graphs": {}}
        self._rng, self._building = weight_generator(self), True
        try:
            for name in variables:
                self._draw(name)
            self._seed_parts()
            token = symbolic.tracing.set(None)
            try:
                if type(self).build is not SubclassedLayer.build:
                    with within(scope=f"{self._scope}{self.name}/"):
                        type(self).build(self, *self._shapes_for_build(shape))
            finally:
                symbolic.tracing.reset(token)
            self._seed_parts()
            for part in self._parts().values() if shape is None else ():
                if isinstance(part, SubclassedLayer) and not part.built:
                    build_with(part, None, part.dtype or self.dtype)
        except BaseException:
            self._restore()
            raise
        finally:
            self._rng, self._building = None, False

    def _shapes_for_build(self, shape) -> list:
        """Return the shapes that the class's own ``build`` takes, in the order of its parameters."""
        shape = None if shape is None else with_none(shapes_mapped(shape, tuple))
        _, *own = inspect.signature(type(self).build).parameters.values()
        if len(own) < 2:
            return [shape]
        call, found = given_call(self), []
        known = {f"{call.first}_shape": shape, **self._other_shapes}
        for one in own:
            if one.name.endswith("_shape") and call.takes(one.name.removesuffix("_shape")):
                found.append(known.get(one.name))
            elif one.default is not one.empty:
                found.append(one.default)
            else:
                raise ValueError(
                    f"expected parameters of build named after the arguments of call{call.signature}, with _shape "
                    f"behind; got {one.name!r} in {type(self).__name__}"
                )
        return found

    def _restore(self) -> None:
        before = self._before_build
        if before is not None:
            self.__dict__.clear()
            self.__dict__.update(before)
            for variable in self._variables.values():
                variable.value = None

    def _forget(self):
        self._restore()
        super()._forget()

    def _shape(self, shape):
        return None if shape is None else shapes_mapped(shape, lambda one: validation.shape(one, 1, "batch, …"))

    def _opened(self, shape):
        return None if shape is None else shapes_mapped(shape, lambda one: (None, *one[1:]))

    _check_shape = any_shape

    # Parts

    @by_attributes
    def _parts(self):
        found: dict[str, Layer] = {}
        seen: set[int] = set()
        for name, value in self.__dict__.items():
            if isinstance(value, _HOLDING) and name not in _OWN:
                _add_parts(name, value, found, seen)
        return found

    def _seed_parts(self) -> None:
        if self._given_seed is not None:
            inherit_seeds(self, self._parts().values())

    def _all_variables(self) -> dict[str, Variable]:
        """Return the variables of this layer and of those inside, by name."""
        found = dict(self._variables)
        for path, part in self._parts().items():
            if isinstance(part, SubclassedLayer):
                found |= {f"{path}/{name}": one for name, one in part._all_variables().items()}
        return found

    # Calls

    def call(self, *arguments, **keywords) -> Any:
        """Return the layer's result; a subclass defines it."""
        raise NotImplementedError(f"expected the class {type(self).__name__} to define call(self, inputs)")

    call.is_missing = True  # type: ignore[attr-defined]

    @entry.entered
    def __call__(self, *arguments, **keywords):
        """Call the layer: the arguments of ``call``, and ``mask`` and ``training``, which it need not name.

        Raises
        ------
        ValueError, TypeError
            As the layers and functions in ``call`` raise them; and if ``call`` can't be read, with the reason.
        """
        return self._run(given_call(self).bound(arguments, keywords, self._as_in_keras))[0]

    def _call_arguments(self, call, arguments, keywords):
        given = given_call(self).bound(arguments, keywords, self._as_in_keras)
        if not self.built:
            self._note_shapes(given)
        return given.by_name()

    def _note_shapes(self, given: CallArguments) -> None:
        more = given.more | {"mask": given.mask}
        self._other_shapes = {
            f"{n}_shape": mapped(one, lambda array: getattr(array, "shape", None)) for n, one in more.items()
        }

    def _with_mask(self, x, mask, training, more=NO_MORE, wanted=None):
        given = given_call(self).sorted(x, mask, training, more)
        return self._run(given, wanted)

    def _entered(self, given: CallArguments) -> tuple[CallTrace, list, list, list]:
        """Return the graph for a call, the call's arrays, and all values and masks by number."""
        if not self.built:
            self._note_shapes(given)
            found = [np.asarray(one) for one in array_leaves(given.inputs)]
            dtype = np.result_type(np.float32, *(one.dtype for one in found if one.dtype.kind == "f"))
            build_with(self, mapped(nested_arrays(given.inputs), np.shape), self.dtype or validation.floating(dtype))
        if self.input_spec is not None:
            self.input_spec.check(given.inputs, self.name)
        given = given.with_arrays(lambda one: self._as_taken(validation.numbers(one, "x")))
        specifications = [((None, *one.shape[1:]), one.dtype) for one in given.arrays()]
        if any(one.ndim == 0 for one in given.arrays()):
            raise ValueError(f"expected arrays with a batch axis for {self.name!r}, got a number")
        trace = self._trace(given, specifications)
        masks = [None if one is None else validation.array(one, "mask") for one in given.masks()]
        weights = weights_now({name: one.value for name, one in zip(trace.names, trace.variables, strict=True)})
        arrays = given.arrays()
        for name, one in zip(trace.names, trace.variables, strict=True):
            if id(one) in trace.assigned:  # calls change it
                weights[name] = opaque(one.numpy, draws=True, like=arrays)
        constants = opaque(lambda: list(trace.arrays), like=arrays)
        return trace, arrays, [*arrays, *weights.values(), *constants], masks

    def _as_taken(self, array):
        return validation.cast(array, self._precision()) if array.dtype.kind == "f" else array

    def _trace(self, given: CallArguments, specifications) -> CallTrace:
        key = given.key(), tuple(specifications), tuple(contents(one, Same) for one in changeable(self))
        if key not in self._graphs:
            found = CallTrace(self, specifications, given.keywords_for, len(leaves(given.inputs)))
            if len(self._graphs) >= _MOST:
                self._graphs.clear()
            self._graphs[key] = found
        return self._graphs[key]

    def _run(self, given: CallArguments, wanted=None):
        """Return a call's result, its mask and, with the keywords `wanted` of a vjp, its pullback, else None."""
        with calling_parts(self):
            trace, arrays, all_arrays, masks = self._entered(given)
            own = [functools.partial(one, given, trace) for one in (self._gradients, self._trained)]
            ways = *own, self.dtype, arrays
            outputs, masks, pullback = trace.graph.fused.run(all_arrays, masks, given.training, wanted, *ways)
            return (None if wanted is None and not trace.dtypes else outputs), self._mask_of(given, masks), pullback

    def _mask_of(self, given: CallArguments, masks):
        """Return the mask of a call's result; `masks` are those that the layers inside give."""
        if type(self).compute_mask is SubclassedLayer.compute_mask and not self.supports_masking:
            return masks
        return opaque(self.compute_mask, nested_arrays(given.inputs), given.mask, draws=True)

    @entry.entered_mask
    def compute_mask(self, inputs, mask=None):
        """Return the output's mask: the input's with `supports_masking`, else that of the layer of the output."""
        if self.supports_masking:
            return mask
        with collecting(), all_or_nothing(self, is_tried=True):  # not the losses of a call, nor its other effects
            return self._run(CallArguments(given_call(self), inputs, {}, {}, mask, False))[1]

    # Gradients

    @entry.entered_vjp
    def vjp(self, *arguments, checkpoint=None, truncate=None, **keywords):
        """Run a call, and return the function from cotangents of its result to those of its inputs, as `Layer.vjp`.

        Raises
        ------
        ValueError, TypeError
            As a call; and where the gradient of a layer inside isn't known.
        """
        given = given_call(self).bound(arguments, keywords, self._as_in_keras)
        outputs, _, pullback = self._run(given, options(checkpoint, truncate))
        return outputs, pullback

    def _trained(self, given: CallArguments, trace: CallTrace) -> set[int]:
        """Return the arrays of a call that depend on a trained weight, or are given beside the inputs."""
        trained = {name for name, one in options_by_name(self).items() if one.trainable}
        paths = {path for path in trace.graph.paths if any(name.startswith(f"{path}/") for name in trained)}
        numbers = {trace.count + k for k, name in enumerate(trace.names) if name in trained}
        return trace.graph.fused.depend_on(paths, numbers | set(range(trace.inputs, trace.count)))

    def _gradients(self, given: CallArguments, trace: CallTrace, d, weights, states) -> Gradients:
        weights |= {name: d[trace.count + k] for k, name in enumerate(trace.names) if d[trace.count + k] is not None}
        found, like = {}, given.arrays()[0]
        for name, array in arrays_by_name(self).items():
            found[name] = weights[name] if name in weights else np.zeros(array.shape, self.dtype, like=like)
        x, more = given.nested_like(d)
        return Gradients(found, x, more=more)

    def _as_cell(self):
        return LayerCell(self)

    # Shapes

    def compute_output_shape(self, input_shape):
        """Return the shape of a result of ``call`` for inputs of a shape, nested as it; None for unknown sizes."""
        call, shape = given_call(self), self._shape(input_shape)
        if shape is None:
            raise ValueError(f"expected a shape to compute that of the result of {self.name!r} for, got None")
        nested = shapes_mapped(shape, lambda one: SymbolicTensor(symbolic.Node(), one, self._precision(), "x"))
        given = CallArguments(call, nested, {}, {}, None, False)
        built = self.built
        with all_or_nothing(self):
            if not built:
                build_with(self, shape, self.dtype or np.dtype("float32"))
            return self._shapes_with_any_mask(given)[0]

    def compute_output_spec(self, *arguments, **keywords):
        """Return symbolic tensors like the results of a call; what a class defines says those of symbolic calls."""
        shapes = self.compute_output_shape(mapped(arguments[0], lambda one: one.shape))
        return shapes_mapped(shapes, lambda one: SymbolicTensor(symbolic.Node(), one, self._precision(), "x"))

    def _precision(self) -> np.dtype:
        return self.dtype or np.dtype("float32")

    def _given_for(self, node, shape):
        more = {name: value for name, value in node.more.items() if name != "mask"}
        given = CallArguments(
            given_call(self), node.x, more, dict(node.options), node.more.get("mask"), bool(node.training)
        )
        if self.input_spec is not None:
            self.input_spec.check(node.x, self.name)
        told = None
        if type(self).compute_output_spec is not SubclassedLayer.compute_output_spec:
            with contextlib.suppress(NotImplementedError):
                told = self.compute_output_spec(node.x, **more, **node.options)
        if told is None:
            return self._shapes_with_any_mask(given)
        with contextlib.suppress(Exception), self._parts_all_or_nothing():
            self._shapes_with_any_mask(given)  # which builds the layers inside
        return mapped(told, lambda one: tuple(one.shape)), np.result_type(*(one.dtype for one in leaves(told)))

    def _shapes_with_any_mask(self, given: CallArguments):
        """Return `_shapes_for` of a call whose mask isn't known yet: without one, or with one if `call` needs it."""
        if given.mask is not None or "mask" not in given.call.names:
            return self._shapes_for(given)
        try:
            with self._parts_all_or_nothing():
                return self._shapes_for(given)
        except Exception:
            mask_of = lambda tensor: SymbolicTensor(symbolic.Node(), tensor.shape[:2], bool, "mask")
            with contextlib.suppress(Exception), self._parts_all_or_nothing():
                return self._shapes_for(replace(given, mask=mapped(given.inputs, mask_of)))
            raise

    def _shapes_for(self, given: CallArguments):
        """Return the shapes of the outputs, nested, and their dtype, for symbolic arguments."""
        tensors = given.arrays()
        dtypes = [self.dtype if one.dtype.kind == "f" else one.dtype for one in tensors]

        def at(length):
            specifications = [
                ((None, *(length if n is None else n for n in one.shape[1:])), dtype)
                for one, dtype in zip(tensors, dtypes, strict=True)
            ]
            return self._trace(given, specifications)

        rows = next((one.shape[0] for one in tensors if one.shape[0] is not None), None)
        first, second = at_two_lengths([one.shape for one in tensors], at, self._parts_all_or_nothing)
        others = iter(symbolic.shape_leaves(second.shapes))
        shapes = shapes_mapped(first.shapes, lambda one: (rows, *same_sizes(one[1:], next(others)[1:])))
        dtypes_found = {np.dtype(one) for one in first.dtypes}
        return shapes, dtypes_found.pop() if len(dtypes_found) == 1 else self.dtype

    def _parts_all_or_nothing(self):
        """Return a context that restores the layers inside after an error; this layer stays built."""
        stack = contextlib.ExitStack()
        for part in self._parts().values():
            stack.enter_context(all_or_nothing(part))
        return stack

    # Configuration and copies

    def get_config(self) -> dict:
        """Return name, dtype, seed and `trainable`, and the arguments noted for a class without `get_config`."""
        known = super().get_config() | {"trainable": self.trainable}
        own = serialized_arguments(self) if type(self).get_config is SubclassedLayer.get_config else {}
        return {name: known[name] for name in _BASE} | own

    @classmethod
    def from_config(cls, config):  # type: ignore[override]  # as programs for Keras write it
        """Return a new layer, not built, from what `get_config` gave."""
        parameters = inspect.signature(cls.__init__).parameters
        takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
        given = {n: v for n, v in config.items() if takes_all or n in parameters or n not in _BASE}
        objects = {n for n, one in given.items() if isinstance(one, dict) and one.keys() >= _OF_OBJECT}
        return cls(**{name: deserialize(one) if name in objects else one for name, one in given.items()})

    def _arguments(self):
        return ""

    def __getstate__(self):
        return self.__dict__ | {"_graphs": {}, "_before_build": None}


@by_attributes
def own_metrics(layer) -> list:
    """Return the metrics that are attributes of a layer and of those inside."""
    layers = [one for one in all_layers(layer) if one is layer or not is_own(type(one))]  # others have none
    values = [value for one in layers for name, value in vars(one).items() if name not in _TRACKERS]
    found = [one for value in values if isinstance(value, (Measure, *_NESTED)) for one in leaves_of(value)]
    return list({id(one): one for one in found if isinstance(one, Measure)}.values())


def _add_parts(path, value, found, seen) -> None:
    """Add the layers in an attribute, also in lists and dicts."""
    if isinstance(value, Layer):
        if id(value) not in seen:
            seen.add(id(value))
            found[path] = value
    elif isinstance(value, Cell):
        if "_alone" in vars(value):
            _add_parts(path, value._by_itself(), found, seen)
    elif isinstance(value, (list, tuple)):
        for i, one in enumerate(value):
            _add_parts(f"{path}.{i}", one, found, seen)
    elif isinstance(value, dict):
        for key, one in value.items():
            _add_parts(f"{path}.{str(key).replace('/', '_')}", one, found, seen)


def _guarded(build):
    """Return a class's own ``build`` as called by the layer's, which draws weights and undoes all after an error."""

    signature = inspect.signature(build)

    @functools.wraps(build)
    def guarded(self, *arguments, **keywords):
        if self._building:
            return build(self, *arguments, **keywords)
        given = dict(list(signature.bind(self, *arguments, **keywords).arguments.items())[1:])
        if len(given) > 1:
            first = f"{given_call(self).first}_shape"
            shape = given.pop(first if first in given else next(iter(given)))
            self._other_shapes = given
            return SubclassedLayer.build(self, shape)
        return SubclassedLayer.build(self, *given.values())

    return guarded
