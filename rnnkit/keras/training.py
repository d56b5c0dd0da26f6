"""Training, logs and files of models under Keras's names."""

from __future__ import annotations

import json
import warnings
from functools import reduce
from typing import Any

from rnnkit import interop
from rnnkit.arguments import is_own
from rnnkit.callbacks import Callback, LearningRateScheduler, ReduceLROnPlateau
from rnnkit.interop.keras_kinds import Argument
from rnnkit.keras import losses, metrics, optimizers
from rnnkit.keras.overriding import check
from rnnkit.keras.steps import StepsOfModel, in_keras_order
from rnnkit.layers.base import UsersOwn
from rnnkit.layers.support.tape import plain
from rnnkit.layers.support.weight_files import load_weights
from rnnkit.models.assembled import Assembled
from rnnkit.serialization.configuration import serialize
from rnnkit.steps.nesting import mapped, numbered
from rnnkit.training.batches import Arrays

COMPILE = {
    "auto_scale_loss": Argument(None, "losses are scaled by nothing"),
    "jit_compile": Argument(None, "all steps are compiled"),
    "run_eagerly": Argument(None, "`with rnnkit.eager():` around a call runs its steps in Python"),
    "steps_per_execution": Argument(None, "batches of the same shapes are repeated from a recording"),
}
FIT = {
    "max_queue_size": Argument(None, "batches are made in this process, one after the other"),
    "use_multiprocessing": Argument(None, "batches are made in this process"),
    "workers": Argument(None, "batches are made in this process"),
}


_FREE = {"__init__", "__module__", "__doc__", "__qualname__", "__annotations__", "__static_attributes__"}
_FREE |= {"__firstlineno__", "_is_read_once", "compile", "fit", "evaluate", "predict"}


def ignored(keywords: dict, table: dict, function: str) -> None:
    """Refuse keywords that are not in a table of ignored ones."""
    if unknown := sorted(set(keywords) - set(table)):
        raise TypeError(f"{function}() got an unexpected keyword argument {unknown[0]!r}")


class KerasModel(StepsOfModel):
    """Base of the models here; a subclass has `inputs` and `outputs`."""

    inputs: Any
    outputs: Any
    _as_in_keras = True

    def __init_subclass__(cls, **keywords):
        super().__init_subclass__(**keywords)
        check(cls, "Model")
        changed = [name for kind in cls.__mro__ if not is_own(kind) and kind is not object for name in vars(kind)]
        if not is_own(cls) and not hasattr(cls, "call"):  # whether its calls are those of its base
            cls._is_read_once = not any(hasattr(Assembled, name) for name in set(changed) - _FREE)

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        *,
        checkpoint=None,
        truncate=None,
        **keywords,
    ) -> None:
        """Say how the model is to be trained, as `rnnkit.Sequential.compile`; Keras's other keywords are ignored."""
        ignored(keywords, COMPILE, "compile")
        if loss is not None:
            vars(self).pop("loss", None)
        super().compile(
            optimizers.get(optimizer),
            losses.for_training(loss),
            loss_weights,
            _for_training(metrics),
            _for_training(weighted_metrics),
            checkpoint=checkpoint,
            truncate=truncate,
        )
        self._ready().given_loss = loss

    def __setattr__(self, name, value):
        if name == "loss" and self._compiled is not None and not self._has_own_steps():
            raise AttributeError(f"expected the loss of {self.name!r} to be given to compile(loss=…), got an attribute")
        check(type(self), "Model", [name])
        if name == "layers" and (hasattr(type(self), "layers") or "layers" in vars(self)):
            raise AttributeError(f"expected the layers of {self.name!r} to be left as they are; use another attribute")
        super().__setattr__(name, value)

    def get_weights(self) -> list:
        """Return copies of the weights, in Keras's order."""
        found = super().get_weights()
        return [found[i] for i in self._keras_order(len(found))]

    def set_weights(self, weights) -> None:
        """Replace all weights by a list as `get_weights` gives."""
        given = list(weights)
        order = self._keras_order(len(given))
        if len(order) == len(given):
            given = [one for _, one in sorted(zip(order, given, strict=True), key=lambda pair: pair[0])]
        super().set_weights(given)

    def _keras_order(self, count: int) -> list[int]:
        """Return the places of so many weights in the order in which Keras has them."""
        return list(range(count))

    @property
    def compiled(self) -> bool:
        """Whether it is compiled."""
        return self._compiled is not None

    @property
    def trainable_weights(self) -> list:  # type: ignore[override]
        """The same as `trainable_variables`."""
        return self.trainable_variables

    @property
    def non_trainable_weights(self) -> list:  # type: ignore[override]
        """The same as `non_trainable_variables`."""
        return self.non_trainable_variables

    def fit(self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None, *others, **keywords):
        """Train the model, as `rnnkit.Sequential.fit`; `verbose` is 1 unless given, and `workers` is ignored."""
        given = {one: keywords.pop(one) for one in FIT if one in keywords}
        ignored(given, FIT, "fit")
        several = [] if callbacks is None else list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]
        several = [_Logs(several), *several]
        return super().fit(x, y, batch_size, epochs, _verbose(verbose), several, *others, **keywords)

    def evaluate(  # type: ignore[override]
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=False,
        **keywords,
    ):
        """Compute the loss and the metrics on some data, as `rnnkit.Sequential.evaluate`."""
        ignored(keywords, FIT, "evaluate")
        verbose = _verbose(verbose)
        found = super().evaluate(x, y, batch_size or 32, verbose, sample_weight, steps, True, callbacks=callbacks)
        return found if return_dict else self._as_list_of(found)

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """Change the weights by one batch, as `rnnkit.Sequential.train_on_batch`."""
        if self._has_own_steps():
            self._stepper(Arrays([x], None, None, None), class_weight, None)  # refuses what it can't do
            found = self._on_batch("train_step", x, y, sample_weight)
        else:
            found = super().train_on_batch(x, y, sample_weight, class_weight, True)
        return found if return_dict else self._as_list_of(found)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """Compute loss and metrics of one batch, as `rnnkit.Sequential.test_on_batch`."""
        if self._has_own_steps():
            found = self._on_batch("test_step", x, y, sample_weight)
        else:
            found = super().test_on_batch(x, y, sample_weight, True)
        return found if return_dict else self._as_list_of(found)

    def predict_on_batch(self, x):
        """Return the outputs of one batch."""
        return plain(self._step("predict_step", x))

    @property
    def metrics_names(self) -> list[str]:
        """The names of the results of `evaluate`: of several outputs, all losses first, then metrics by name."""
        names = super().metrics_names
        if len(outputs := self._interface._output_names()) < 2:
            return names
        losses = ["loss", *(f"{one}_loss" for one in outputs)]
        return [one for one in losses if one in names] + sorted(set(names) - set(losses))

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None, **keywords):
        """Return outputs for many rows, as `rnnkit.Sequential.predict`."""
        ignored(keywords, FIT, "predict")
        if self._overrides("predict_step"):
            return self._by_predict_step(x, batch_size, _verbose(verbose), steps, callbacks)
        return super().predict(x, batch_size, _verbose(verbose), steps, callbacks=callbacks)

    def _as_list_of(self, found: dict):
        """Return losses and metrics as a list; one alone as a number."""
        own = self._has_own_steps()
        values = in_keras_order(found, self.metrics) if own else [found[one] for one in self.metrics_names]
        return values if len(values) > 1 else values[0]

    def summary(self, line_length=None, positions=None, print_fn=None, **others) -> None:  # type: ignore[override]
        """Print a table of layers, output shapes and numbers of parameters; `print_fn` takes it in place of print."""
        (print_fn or print)(str(self._summary()))

    def save(self, filepath, overwrite=True, zipped=None, include_optimizer=None, **keywords) -> None:  # type: ignore[override]
        """Write the model to a file of rnnkit's, whatever its suffix: see `saving.save_model`.

        Parameters
        ----------
        filepath : str or os.PathLike
        overwrite : bool
        zipped
            Nothing.
        include_optimizer : bool, optional
            Write how it is trained, too; None where it is compiled with what has a name.
        **keywords
            ``optimizer`` and ``states``, as `rnnkit.Sequential.save` has them.
        """
        wanted = keywords.pop("optimizer", include_optimizer)
        if wanted is None and self._compiled is not None:
            try:
                self._training_to_save()
                wanted = True
            except (TypeError, ValueError) as error:
                message = f"{self.name!r} is saved without what compile was given: {error}"
                warnings.warn(message, stacklevel=2)
        super().save(filepath, optimizer=bool(wanted), overwrite=overwrite, **keywords)

    def load_weights(self, filepath, skip_mismatch=False, **keywords) -> None:  # type: ignore[override]
        """Replace all weights by those in a file of `save_weights`, or of Keras's (``.weights.h5``)."""
        if skip_mismatch:
            raise ValueError("expected skip_mismatch=False; set the weights that fit layer by layer, with set_weights")
        with open(filepath, "rb") as file:
            hdf5 = file.read(8) == b"\x89HDF\r\n\x1a\n"
        if hdf5:
            interop.load_keras_weights(self, filepath)
        else:
            load_weights(self, filepath, numbers=False)

    def get_state_tree(self, value_format="backend_tensor") -> dict:
        """Return copies of the arrays of all variables, in dicts by kind and by the parts of their paths.

        Raises
        ------
        ValueError
            If two variables have the same path.
        """
        found: dict = {f"{kind}_variables": {} for kind in self._variables_by_kind()}
        for path, one in self._variables_by_path().items():
            *above, name = path.split("/")
            reduce(lambda inside, part: inside.setdefault(part, {}), above, found)[name] = one.numpy()
        return found

    def set_state_tree(self, state_tree) -> None:
        """Assign variables what `get_state_tree` gave, or a part of it.

        Raises
        ------
        ValueError
            For a path that no variable has; nothing is changed then.
        """
        known, values = self._variables_by_path(), dict(_by_path(state_tree))
        if unknown := [path for path in values if path not in known]:
            raise ValueError(f"expected paths of variables of {self.name!r}, got {unknown[0]!r}")
        for path, value in values.items():
            known[path].assign(value)

    def _variables_by_kind(self) -> dict:
        found = {"trainable": self.trainable_variables, "non_trainable": self.non_trainable_variables}
        if self._compiled is not None:
            found |= {"optimizer": self.optimizer.variables, "metrics": self.metrics_variables}
        return found

    def _variables_by_path(self) -> dict:
        found: dict = {}
        for kind, variables in self._variables_by_kind().items():
            for one in variables:
                path = f"{kind}_variables/{one.path}"
                if found.setdefault(path, one) is not one:
                    raise ValueError(f"expected variables of different paths, got {path!r} twice; give layers names")
        return found

    def to_json(self, **keywords) -> str:
        """Return the configuration as text for `models.model_from_json`; `keywords` are those of `json.dumps`."""
        return json.dumps(serialize(self), **keywords)

    @UsersOwn
    def loss(self):
        """The loss of `compile`."""
        if self._compiled is None:
            return None
        if self._compiled.given_loss is not None:
            return self._compiled.given_loss
        found = [None if one is None else one.loss for one in self._compiled.objectives]
        return found if len(found) > 1 else found[0]

    def _nestings(self) -> tuple:
        """Return how inputs and outputs are nested."""
        return tuple(numbered(of if len(of) > 1 else 0) for of in (self.inputs, self.outputs))

    @property
    def input(self):
        """The symbolic input, nested as the model was given several."""
        return mapped(self._nestings()[0], self.inputs.__getitem__)

    @property
    def output(self):
        """The symbolic output, nested as the model was given several."""
        return mapped(self._nestings()[1], self.outputs.__getitem__)

    @property
    def input_shape(self):
        """The shape of the input, with None for unknown sizes; nested as `input`."""
        return mapped(self.input, lambda tensor: tensor.shape)

    @property
    def output_shape(self):
        """The shape of the output, with None for unknown sizes; nested as `output`."""
        return mapped(self.output, lambda tensor: tensor.shape)


def _by_path(nested, before=""):
    """Yield the leaves of nested dicts with their keys, joined by slashes."""
    for key, one in nested.items():
        if isinstance(one, dict):
            yield from _by_path(one, f"{before}{key}/")
        else:
            yield f"{before}{key}", one


class _Logs(Callback):
    """Callback that gives the logs of an epoch Keras's keys, in Keras's order."""

    def __init__(self, others):
        super().__init__()
        self.with_rate = any(isinstance(one, (LearningRateScheduler, ReduceLROnPlateau)) for one in others)

    def on_epoch_end(self, epoch, logs=None):
        """Leave the learning rate out unless a callback sets it."""
        logs = {} if logs is None else logs
        found = {key: logs[key] for key in sorted(logs, key=lambda key: (key == "learning_rate", key))}
        if not self.with_rate:
            found.pop("learning_rate", None)
        logs.clear()
        logs.update(found)


def _verbose(verbose):
    """Return rnnkit's verbosity for Keras's."""
    return 1 if verbose == "auto" else min(int(verbose), 2)


def _for_training(given):
    """Return metrics as `compile` takes them, nested as they are."""
    if isinstance(given, dict) and "class_name" not in given:
        return {name: _for_training(one) for name, one in given.items()}
    if isinstance(given, (list, tuple)):
        return [_for_training(one) for one in given]
    return None if given is None else metrics.for_training(given)
