"""What models have under Keras's names: its arguments, its logs and its files."""

from __future__ import annotations

import json
import warnings
from typing import Any

from rnnkit import interop
from rnnkit.callbacks import Callback, LearningRateScheduler, ReduceLROnPlateau
from rnnkit.keras import losses, metrics, optimizers
from rnnkit.keras.arguments import Argument
from rnnkit.models.assembled import Assembled
from rnnkit.serialization.configuration import serialize

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


_STEPS = ("train_step", "test_step", "compute_loss", "compute_metrics", "make_train_function", "make_test_function")


def ignored(keywords: dict, table: dict, function: str) -> None:
    """Refuse keywords that are not in a table of ignored ones."""
    if unknown := sorted(set(keywords) - set(table)):
        raise TypeError(f"{function}() got an unexpected keyword argument {unknown[0]!r}")


class KerasModel(Assembled):
    """Base of the models here; a subclass has `inputs` and `outputs`."""

    inputs: Any
    outputs: Any

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
        super().compile(
            optimizers.get(optimizer),
            losses.for_training(loss),
            loss_weights,
            _for_training(metrics),
            _for_training(weighted_metrics),
            checkpoint=checkpoint,
            truncate=truncate,
        )

    def fit(self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None, *others, **keywords):
        """Train the model, as `rnnkit.Sequential.fit`; `verbose` is 1 unless given, and `workers` is ignored."""
        self._refuse(*_STEPS)
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
        """The loss and the metrics on some data, as `rnnkit.Sequential.evaluate`."""
        self._refuse(*_STEPS)
        ignored(keywords, FIT, "evaluate")
        verbose = _verbose(verbose)
        found = super().evaluate(x, y, batch_size or 32, verbose, sample_weight, steps, True, callbacks=callbacks)
        return found if return_dict else _listed(found, self.metrics_names)

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """Change the weights by one batch, as `rnnkit.Sequential.train_on_batch`."""
        self._refuse(*_STEPS)
        found = super().train_on_batch(x, y, sample_weight, class_weight, True)
        return found if return_dict else _listed(found, self.metrics_names)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """Loss and metrics of one batch, as `rnnkit.Sequential.test_on_batch`."""
        self._refuse(*_STEPS)
        found = super().test_on_batch(x, y, sample_weight, True)
        return found if return_dict else _listed(found, self.metrics_names)

    @property
    def metrics_names(self) -> list[str]:
        """What `evaluate` lists: of several outputs, all losses first, then metrics by name."""
        names = super().metrics_names
        if len(outputs := self._output_names()) < 2:
            return names
        losses = ["loss", *(f"{one}_loss" for one in outputs)]
        return [one for one in losses if one in names] + sorted(set(names) - set(losses))

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None, **keywords):
        """Outputs for many rows, as `rnnkit.Sequential.predict`."""
        self._refuse("predict_step", "make_predict_function")
        ignored(keywords, FIT, "predict")
        return super().predict(x, batch_size, _verbose(verbose), steps, callbacks=callbacks)

    def _refuse(self, *steps) -> None:
        """Refuse a program's own methods that Keras would call."""
        for name in steps:
            if hasattr(self, name):
                raise NotImplementedError(
                    f"expected {type(self).__name__} without {name}, which rnnkit.keras doesn't call; give compile the "
                    "loss and the metrics, or write the loop with model.vjp and model.optimizer.apply"
                )

    def summary(self, line_length=None, positions=None, print_fn=None, **others) -> None:  # type: ignore[override]
        """Print a table of layers, output shapes and numbers of parameters; `print_fn` takes it in place of print."""
        (print_fn or print)(str(super().summary()))

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
                told = f"{self.name!r} is saved without what compile was given: {error}"
                warnings.warn(told, stacklevel=2)
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
            super().load_weights(filepath)

    def to_json(self, **keywords) -> str:
        """The configuration as text, which `models.model_from_json` reads; `keywords` are those of `json.dumps`."""
        return json.dumps(serialize(self), **keywords)

    @property
    def metrics(self) -> list:
        """The metrics that `compile` was given."""
        return [] if self._compiled is None else [metric for _, _, metric, _ in self._compiled.metrics]

    @property
    def loss(self):
        """The loss that `compile` was given."""
        if self._compiled is None:
            return None
        found = [None if one is None else one.loss for one in self._compiled.objectives]
        return found if len(found) > 1 else found[0]

    @property
    def input(self):
        """The symbolic input, a list of several."""
        return self.inputs if len(self.inputs) > 1 else self.inputs[0]

    @property
    def output(self):
        """The symbolic output, a list of several."""
        return self.outputs if len(self.outputs) > 1 else self.outputs[0]

    @property
    def input_shape(self):
        """The shape of the input, with None where a size is open; a list of several."""
        shapes = [tensor.shape for tensor in self.inputs]
        return shapes if len(shapes) > 1 else shapes[0]

    @property
    def output_shape(self):
        """The shape of the output, with None where a size is open; a list of several."""
        shapes = [tensor.shape for tensor in self.outputs]
        return shapes if len(shapes) > 1 else shapes[0]


class _Logs(Callback):
    """Lets the logs of an epoch have Keras's keys, in Keras's order."""

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


def _listed(found: dict, names: list[str]):
    """Losses and metrics in the order of names."""
    values = [found[one] for one in names]
    return values if len(values) > 1 else values[0]


def _verbose(verbose):
    """rnnkit's verbosity for Keras's."""
    return 1 if verbose == "auto" else min(int(verbose), 2)


def _for_training(given):
    """Metrics, nested as `compile` takes them."""
    if isinstance(given, dict) and "class_name" not in given:
        return {name: _for_training(one) for name, one in given.items()}
    if isinstance(given, (list, tuple)):
        return [_for_training(one) for one in given]
    return None if given is None else metrics.for_training(given)
