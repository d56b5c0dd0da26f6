"""The methods of every model: compile, fit, evaluate, predict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rnnkit import optimizers, tracebacks
from rnnkit.arguments import real_number
from rnnkit.callbacks.calling import CallbackList
from rnnkit.callbacks.progress import watched
from rnnkit.docstrings import described_as
from rnnkit.hints import Array
from rnnkit.layers.base import Layer
from rnnkit.layers.support import labelled_calls, model_files, sequence_calls
from rnnkit.layers.support.array_kinds import handler_of
from rnnkit.layers.support.facts import keeps_states
from rnnkit.layers.support.layer_tree import all_layers, arrays_by_name
from rnnkit.layers.support.pullback import options
from rnnkit.layers.support.seeds import numbered_generator, start_draws
from rnnkit.sequences.labelled import is_labelled
from rnnkit.steps.nesting import leaves_of, mapped, numbered
from rnnkit.training.batches import Arrays, Batch, Iterable, Names, brings_batches, positive
from rnnkit.training.compiled import Compiled
from rnnkit.training.fitting import Fit
from rnnkit.training.order import checked_blocks
from rnnkit.training.parts import PartedStepper
from rnnkit.training.sequences import can_pad, of_sequences
from rnnkit.training.steps import Stepper
from rnnkit.training.tally import Tally
from rnnkit.training.updates import UpdateRunner
from rnnkit.training.writing import written

_ORDERS = 2**32 - 1  # the child of a model's seed for orders of rows; no part has so high a number


class Trainable(Layer):
    """Base of models: layers put together, with Keras's methods for training them."""

    stop_training = False  # a callback sets it to end a fit
    history = None  # of the last fit
    _target_nesting: Any = 0  # numbers of the outputs, nested as targets may be given
    resumed_epoch = 0  # the epoch from which a callback lets a fit go on
    _compiled: Compiled | None = None
    _own_optimizer: Any = None  # of a model that isn't compiled
    _update_runner: UpdateRunner  # once it is compiled

    _members = 1  # the number of models, whose rows of outputs in training are joined

    # To be overridden by models.

    def _of_all_members(self, batch: Batch) -> Batch:
        """Return a batch with targets and weights for each row of the outputs."""
        return batch

    @property
    def _interface(self) -> Any:
        """The model that says how inputs and outputs are named and nested, by what is next."""
        return self

    def _input_names(self) -> list[str]:
        return ["x"]

    def _output_names(self) -> list[str]:
        return ["output"]

    def _inputs(self, what: str) -> Names:
        """Return the names by which inputs, or their masks, may be given."""
        return Names(self._input_names(), what)

    def _as_given(self, arrays: list) -> Any:
        """Return the inputs of a batch as a call takes them."""
        return arrays[0] if len(arrays) == 1 else arrays

    def _watched(self, x) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the arrays between x and the outputs, with what they are in words."""
        return iter(())

    # Keras's methods

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        *,
        checkpoint: Any = None,
        truncate: Any = None,
    ) -> None:
        """Say how the model is to be trained.

        Parameters
        ----------
        optimizer : str or Optimizer
            One of `rnnkit.optimizers`, or its name.
        loss : str, callable, or a list or dict of them, one per output
            One of `rnnkit.losses`, its name, or any NumPy-style function ``(y_true, y_pred)`` that reduces the last
            axis; it is traced and differentiated as a step is. None for an output that isn't trained. Of several
            outputs, losses may be nested as these are: a function in the place of nested outputs gets all of them and
            their targets, and a list where an output, or a tuple or dict of them, is has several losses of it.
        loss_weights : list or dict of float, optional
            The weight of each loss in the sum, nested as losses are.
        metrics, weighted_metrics : list of str or callable, optional
            Other values to report; a list or dict of lists for several outputs. Sample weights count in the latter.
        checkpoint, truncate
            As in `RNN.vjp`, for all gradients of a fit: less memory; truncated backpropagation through time.

        Raises
        ------
        ValueError
            For names that don't exist, with those that do; and for an optimizer that has trained another model.
        """
        compiled = Compiled(
            self._interface._output_names(),
            optimizer,
            loss,
            loss_weights,
            metrics,
            weighted_metrics,
            options(checkpoint, truncate),
            self._interface._target_nesting,
        )
        compiled.optimizer.belong_to(self)
        self._compiled, self._update_runner = compiled, UpdateRunner()

    @property
    def optimizer(self) -> Any:
        """The optimizer of `compile`; another one can be set, which trains from here on."""
        if self._compiled is None and self._own_optimizer is not None:
            return self._own_optimizer
        return self._ready().optimizer

    @optimizer.setter
    def optimizer(self, value: Any) -> Any:
        found = optimizers.get(value)
        found.belong_to(self)
        if self._compiled is None:
            self._own_optimizer = found
        else:
            self._compiled.optimizer, self._update_runner = found, UpdateRunner()

    @property
    def metrics_names(self) -> list[str]:
        """The names of the results of `evaluate`, in order."""
        return self._ready().names

    @tracebacks.edge
    def fit(
        self,
        x: Array = None,
        y: Array = None,
        batch_size: Any = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: Any = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Array = None,
        initial_epoch: int = 0,
        steps_per_epoch: Any = None,
        validation_steps: Any = None,
        validation_batch_size: Any = None,
        validation_freq: int = 1,
        *,
        parts: Any = None,
    ) -> Any:
        """Train the model.

        It equals::

            for epoch in range(initial_epoch, epochs):
                for x, y, sample_weight in batches:          # rows in a new order each epoch
                    loss = mean over used steps of sample_weight * loss(y, model(x, training=True))
                    weights = optimizer(weights, gradient of loss)

        Parameters
        ----------
        x : array_like (B, …), or a list or dict of them; a list of sequences (T_i, …); or an iterable of batches
            Arrays may lie on disk (`numpy.memmap`, or anything with ``shape``, ``dtype`` and rows by index). Batches
            are ``(x, y)`` or ``(x, y, sample_weight)``, tuples or lists, from a generator or from an object with
            ``len`` and indices. A model of one input takes a list of sequences of unequal lengths; y and sample_weight
            by step are lists with an array for each of them then. Dask arrays, or a list of delayed batches, are
            trained on by Dask's workers, see `rnnkit.distributed`.
        y : array_like (B, …), or a list or dict of them, one per output
            None, or a name that isn't there, for an output without loss and metrics.
        batch_size : int, optional
            32 by default.
        epochs : int
            The number of epochs, counted from 0 whatever `initial_epoch` is.
        verbose : {"auto", 0, 1, 2}
            1 shows a bar (extra ``progress``; lines without it), 2 a line per epoch, 0 nothing; "auto" a bar in a
            terminal or notebook.
        callbacks : list of Callback, optional
        validation_split : float in [0, 1)
            This share of the rows, the last ones, isn't trained on but evaluated after each epoch.
        validation_data : tuple (x, y) or (x, y, sample_weight), or an iterable of batches, optional
        shuffle : bool, or sequence of int
            Rows, or batches that have indices, in a new order each epoch, drawn from the model's seed. Sizes shuffle
            blocks of so many rows, and the rows in each: the order in which chunks of these sizes are trained on.
        class_weight : dict of int to float, optional
            A factor for targets by their class, 1 where there is none; it multiplies `sample_weight`, and isn't for
            validation.
        sample_weight : array_like (B,) or (B, T), optional
        initial_epoch : int
            The first epoch of a resumed fit: the same weights and `Optimizer.set_state` give the same bits as a fit
            that went through, if stateful layers have their states too; L-BFGS learns the curvature anew. Where it is
            `epochs`, a warning says that nothing is left to train.
        steps_per_epoch, validation_steps : int, optional
            Batches of an epoch; all of them by default. The next epoch goes on where one ended, and ends with the data;
            a validation always begins with the first batch.
        validation_batch_size : int, optional
        validation_freq : int
            Evaluate after every so many epochs.
        parts : int, optional
            Cut each batch into so many parts of equal size, compute the gradient of each on its own, and add them in a
            fixed order: the bits of a fit on any number of Dask's workers. Dropout is drawn, and the statistics of
            `BatchNormalization` are taken, for each part.

        Returns
        -------
        History
            Loss and metrics of each epoch. Ctrl-C ends the fit after the running batch and returns the history so far.

        Raises
        ------
        FloatingPointError
            If the loss or a gradient isn't finite, with epoch, batch and the first array that isn't; weights are those
            of the batch before.
        ValueError, TypeError
            For what doesn't fit together, such as an `initial_epoch` above `epochs`; nothing is changed by the batch
            that failed.

        Examples
        --------
        >>> import numpy as np, rnnkit as rk
        >>> x = np.random.default_rng(0).normal(size=(64, 10, 1)).astype("float32")
        >>> model = rk.Sequential([rk.GRU(8), rk.Dense(1)], seed=0)
        >>> model.compile(optimizer=rk.optimizers.Adam(0.01), loss="mse")
        >>> history = model.fit(x, x.sum(axis=1), epochs=5)
        >>> history.history["loss"][-1] < history.history["loss"][0]
        True
        """
        self._ready(to_train=True)
        batch_size = positive(batch_size, "batch_size") or 32
        source = self._source(x, y, sample_weight, batch_size, positive(steps_per_epoch, "steps_per_epoch"))
        if isinstance(shuffle, (tuple, list)):
            if not isinstance(source, Arrays):
                raise ValueError(
                    "expected shuffle=True or False for batches and chunks, which are its blocks; got sizes"
                )
            source.blocks = checked_blocks(shuffle, source.rows)
        if not 0 <= real_number(validation_split, "validation_split") < 1:
            raise ValueError(f"expected validation_split of at least 0 and below 1, got {validation_split!r}")
        if validation_split:
            if not hasattr(source, "parted"):
                raise ValueError(
                    "expected arrays for validation_split; give validation_data with an iterable of batches"
                )
            if validation_data is not None:
                raise ValueError("expected either validation_split or validation_data, got both")
            source, validation = source.parted(validation_split)
            validation.batch_size = positive(validation_batch_size, "validation_batch_size") or batch_size
            validation.steps = positive(validation_steps, "validation_steps")
        else:
            validation = self._validation(
                validation_data,
                positive(validation_batch_size, "validation_batch_size") or batch_size,
                positive(validation_steps, "validation_steps"),
            )
        for one in (source, validation):
            self._check_stateful(one)
        return Fit(
            self,
            self._stepper(source, class_weight, positive(parts, "parts")),
            source,
            validation,
            epochs=epochs,
            initial_epoch=initial_epoch,
            shuffle=bool(shuffle),
            callbacks=callbacks,
            verbose=verbose,
            validation_freq=positive(validation_freq, "validation_freq") or 1,
        ).run()

    @tracebacks.edge
    def evaluate(
        self,
        x: Array = None,
        y: Array = None,
        batch_size: Any = None,
        verbose: Any = "auto",
        sample_weight: Array = None,
        steps: Any = None,
        return_dict: bool = False,
        *,
        callbacks: Any = None,
    ) -> Any:
        """Compute the loss and the metrics on some data.

        Parameters
        ----------
        x, y, sample_weight
            As in `fit`.
        batch_size : int, optional
            Changes nothing but memory and time, and 32 by default, where a layer is stateful.
        verbose : {"auto", 0, 1, 2}
            As in `fit`; the bar goes away when all is done.
        steps : int, optional
            The number of batches.
        return_dict : bool
        callbacks : list of Callback, optional
            Told of its beginning, its batches and its end.

        Returns
        -------
        float, or list of float in the order of `metrics_names`, or dict of str to float
        """
        compiled = self._ready()
        source = self._source(x, y, sample_weight, self._rows_at_once(batch_size), positive(steps, "steps"))
        callback_list = self._callback_list(callbacks, source)
        callback_list.on_test_begin()
        tally = self._tested(
            self._tester(source), watched(source.run(), len(source), "evaluate", verbose), callback_list
        )
        callback_list.on_test_end(tally.logs())
        return _shown(tally, compiled, return_dict)

    @described_as(evaluate)
    @tracebacks.edge
    def predict(
        self,
        x: Array,
        batch_size: Any = None,
        verbose: Any = "auto",
        steps: Any = None,
        *,
        out: Any = None,
        callbacks: Any = None,
    ) -> Any:
        """Compute the outputs for many rows, a batch at a time.

        Parameters
        ----------
        x : array_like (B, …), a list or dict of them, or an iterable of batches
            The inputs; of batches ``(x, y)`` the y is ignored.
        out : array (B, …), or nested as a call returns several, optional
            The place for the outputs, a batch at a time, rather than new arrays: a memory map, say, or an array of
            zarr or HDF5. It is returned. With an iterable, as many rows as its batches have.
        callbacks : list of Callback, optional
            Told of its beginning, its batches and its end; arrays or batches alone can have them.

        Returns
        -------
        ndarray (B, …), or nested as a call returns several
            For dask arrays dask arrays, not computed yet; chunks take the place of batches.

        Raises
        ------
        ValueError, TypeError
            As a call; and for an `out` of other shapes, or with another number of rows. Batches that were written
            before an error stay written.

        Examples
        --------
        >>> import os, tempfile
        >>> import numpy as np, rnnkit as rk
        >>> model = rk.Sequential([rk.GRU(4), rk.Dense(1)], seed=0)
        >>> x = np.ones((100, 5, 3), "float32")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = os.path.join(folder, "y.npy")
        ...     y = np.lib.format.open_memmap(file, "w+", "float32", (100, 1))
        ...     same = np.array_equal(model.predict(x, out=y), model.predict(x))
        ...     del y
        >>> same
        True
        """
        if is_labelled(x) and (given := labelled_calls.ordered(self, x)) is not None:
            x = labelled_calls.in_chunks(given)
            found = self.predict(x, batch_size, verbose, steps, out=out, callbacks=callbacks)
            return found if out is not None else labelled_calls.named(self, found, given)
        steps = positive(steps, "steps")
        if (handler := handler_of(x)) is not None:
            if callbacks:
                raise ValueError("expected no callbacks for dask arrays, whose outputs are computed later")
            return handler.predicted(self, x, batch_size, steps, out)
        inputs, outputs = self._interface._inputs("x"), self._targets()
        source: Arrays | Iterable
        if (given := sequence_calls.sequences(self, x)) is not None:
            if steps is None and out is None and not callbacks and not keeps_states(self):
                progress = lambda batches: watched(batches, len(batches), "predict", verbose)
                return sequence_calls.run(self, given, {}, positive(batch_size, "batch_size"), progress)
            if not given.is_even:
                raise ValueError(
                    "expected one array, for steps, out, callbacks or states that are kept; got a list of sequences"
                )
            x = given.padded(given.shape[1])
        if brings_batches(x, None):
            source = Iterable(x, inputs, outputs, steps, with_targets=False)
        else:
            source = Arrays(inputs.all(x), None, None, self._rows_at_once(batch_size), steps)
            if not source.rows and out is None:
                return self(x)
        batches = watched(source.run(), len(source), "predict", verbose)
        each = self._predicted(batches, self._callback_list(callbacks, source))
        if out is not None:
            rows = min(source.rows, len(source) * source.batch_size) if isinstance(source, Arrays) else None
            return written(each, out, rows)
        found = list(each)
        if not found:
            raise ValueError("expected at least one batch to predict, got none")
        return joined(found, self._axes_in_front)

    @tracebacks.edge
    def train_on_batch(
        self,
        x: Array,
        y: Array = None,
        sample_weight: Array = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Change the weights by one batch, and give its loss and metrics as `evaluate` does.

        Raises
        ------
        FloatingPointError, ValueError, TypeError
            As in `fit`; no weight is changed then.
        """
        compiled = self._ready(to_train=True)
        tally = Tally(compiled)
        try:
            Stepper(self, compiled, class_weight).train(self._batch(x, y, sample_weight), tally)
        finally:
            self._update_runner.settle()
        return _shown(tally, compiled, return_dict)

    @tracebacks.edge
    def test_on_batch(self, x: Array, y: Array = None, sample_weight: Array = None, return_dict: bool = False) -> Any:
        """Compute loss and metrics of one batch."""
        compiled = self._ready()
        tally = Tally(compiled)
        Stepper(self, compiled).test(self._batch(x, y, sample_weight), tally)
        return _shown(tally, compiled, return_dict)

    @tracebacks.edge
    def predict_on_batch(self, x: Array) -> Any:
        """Compute the outputs of one batch: a call."""
        return self(x)

    # Files

    def save(self, path: Any, *, optimizer: bool = False, states: bool = False, overwrite: bool = True) -> None:
        """Write the model to a file, whole or not at all: configuration and weights, for `rnnkit.load_model`.

        Parameters
        ----------
        path, states, overwrite
            As in `Layer.save`.
        optimizer : bool
            Write what `compile` was given and the optimizer's state, too: the model that is loaded can go on with
            `fit`, and has the bits of one that was never saved (with stateful layers, if `states` are written).

        Raises
        ------
        ValueError, FileExistsError, ImportError
            As `Layer.save`; and for `optimizer` of a model that isn't compiled, or with a loss, a metric or a schedule
            that has no name.
        """
        model_files.save(self, path, optimizer=optimizer, states=states, overwrite=overwrite)

    def _training_to_save(self):
        compiled = self._ready()
        return compiled.get_config(), compiled.optimizer.get_state()

    def _restore_training(self, config, state):
        self.compile(**config)
        trained = {name.partition("/")[2] for name in state}
        arrays = arrays_by_name(self).items()
        self.optimizer.set_state(state, {name: array for name, array in arrays if name in trained})

    # Shared by the methods

    def _ready(self, to_train: bool = False) -> Compiled:
        if self._compiled is None:
            raise ValueError(f"expected the model {self.name!r} to be compiled; call compile(optimizer, loss) first")
        adds = lambda: any(one.activity_regularizer or hasattr(one, "add_loss") for one in all_layers(self))
        if to_train and not any(self._compiled.objectives) and not adds():
            raise ValueError(f"expected a loss to train {self.name!r} by, got none; call compile(optimizer, loss)")
        return self._compiled

    def _rows_at_once(self, batch_size) -> int | None:
        found = positive(batch_size, "batch_size")
        return 32 if found is None and keeps_states(self) else found

    def _targets(self) -> Names:
        """Return the names for targets: a single array is for the one output that has a loss."""
        terms = zip(self._compiled.places, self._compiled.objectives, strict=True) if self._compiled else ()
        trained = {k for place, one in terms if one for k in leaves_of(place)}
        alone = trained.pop() if len(trained) == 1 else None
        return Names(self._interface._output_names(), "y", alone, self._interface._target_nesting)

    def _stepper(self, source, class_weight, parts: int | None) -> Stepper:
        """Return the stepper for the batches of a fit on some data."""
        if hasattr(source, "stepper"):
            return source.stepper(self, class_weight, parts)
        if parts is not None:
            return PartedStepper(self, self._ready(), class_weight, parts)
        return Stepper(self, self._ready(), class_weight)

    def _tester(self, source) -> Stepper:
        """Return the stepper for the batches of an evaluation on some data."""
        return source.tester(self) if hasattr(source, "tester") else Stepper(self, self._ready())

    def _source(self, x, y, sample_weight, batch_size, steps):
        if (handler := handler_of((x, y, sample_weight))) is not None:
            return handler.source(self, x, y, sample_weight, batch_size, steps)
        inputs, outputs = self._interface._inputs("x"), self._targets()
        if brings_batches(x, y):
            if sample_weight is not None:
                raise ValueError("expected sample_weight within the batches, (x, y, sample_weight)")
            return Iterable(x, inputs, outputs, steps)
        if x is None:
            raise ValueError("expected x, got None")
        if hasattr(x, "__next__"):
            raise ValueError("expected y within the batches, (x, y), that an iterator brings; got y beside it")
        names = Names(outputs.names, "sample_weight")
        x, y, sample_weight = labelled_calls.for_training(self, x, y, sample_weight)
        sequence_calls.refuse_table(self, x)
        given = sequence_calls.sequences(self, x)
        if given is not None and given.is_even and not can_pad(self, given):
            x, given = given.padded(given.shape[1]), None
        if given is not None:
            found = of_sequences(self, given, y, sample_weight, outputs, names, batch_size, steps)
        else:
            weights = None if sample_weight is None else names.each(sample_weight)
            targets = None if y is None else outputs.split(y)
            found = Arrays(inputs.all(x), targets, weights, batch_size, steps)
        if not found.rows:
            raise ValueError("expected at least one row, got none")
        return found

    def _validation(self, data, batch_size, steps):
        if data is None:
            return None
        if ((handler := handler_of(data)) is not None and handler.are_delayed(data)) or brings_batches(data, None):
            return self._source(data, None, None, batch_size, steps)
        if isinstance(data, (tuple, list)) and len(data) in (2, 3):
            return self._source(data[0], data[1], data[2] if len(data) == 3 else None, batch_size, steps)
        raise ValueError(
            "expected validation_data as (x, y), (x, y, sample_weight) or an iterable of batches; got "
            f"{type(data).__name__}"
        )

    def _batch(self, x, y, sample_weight) -> Batch:
        source = self._source(x, y, sample_weight, None, None)
        source = source.gathered() if hasattr(source, "gathered") else source
        if not isinstance(source, Arrays):
            raise ValueError(f"expected the arrays of one batch, got an iterable of batches, {type(x).__name__}")
        source.batch_size = source.rows
        return next(source.run())

    def _check_stateful(self, source):
        if not keeps_states(self) or not isinstance(source, Arrays):
            return
        if source.rows > source.batch_size and source.rows % source.batch_size:
            raise ValueError(
                f"expected rows in whole batches for a stateful model, got {source.rows} rows and a batch_size of "
                f"{source.batch_size}"
            )

    def _callback_list(self, callbacks, source) -> CallbackList:
        params = {"steps": len(source) or None, "batch_size": getattr(source, "batch_size", None), "verbose": 0}
        return CallbackList(callbacks, self, params)

    def _predicted(self, batches, callback_list: CallbackList) -> Iterator[Any]:
        callback_list.on_predict_begin()
        for i, batch in enumerate(batches):
            callback_list.on_predict_batch_begin(i)
            outputs = self(self._interface._as_given(batch.x))
            callback_list.on_predict_batch_end(i, {"outputs": outputs})
            yield outputs
        callback_list.on_predict_end()

    def _tested(self, stepper: Stepper, batches, callback_list: CallbackList | None = None) -> Tally:
        tally, callback_list = stepper.tally(), callback_list or CallbackList(params={"verbose": 0})
        try:
            for i, batch in enumerate(batches):
                callback_list.on_test_batch_begin(i)
                stepper.test(batch, tally)
                if callback_list.hears("on_test_batch_end"):
                    callback_list.on_test_batch_end(i, tally.logs())
            stepper.tests_done(tally)
        finally:
            stepper.close()
        if not tally.batches:
            raise ValueError("expected at least one batch to evaluate, got none; an iterator runs dry only once")
        return tally

    def _epoch_generator(self, updates: int, begun: int = 0) -> np.random.Generator:
        """Return the generator of the order of rows in the epoch that begins after so many updates of the weights.

        The draws of layers start anew with it, so that a resumed fit draws the same as an uninterrupted one. The
        order is that of the pass over the data in which the epoch lies, which began after `begun` updates.
        """
        for layer in all_layers(self):
            start_draws(layer, updates)
        return numbered_generator(self, _ORDERS, begun)


def _shown(tally: Tally, compiled: Compiled, as_dict: bool):
    logs = tally.logs()
    if as_dict:
        return logs
    values = [logs[name] for name in compiled.names]
    return values if len(values) > 1 else values[0]


def joined(parts, axis=0):
    """Return arrays of several calls one after the other along an axis, nested as each of them is."""
    flat = [leaves_of(part) for part in parts]
    if len(parts) == 1:
        return parts[0]
    return mapped(numbered(parts[0]), lambda i: np.concatenate([arrays[i] for arrays in flat], axis))
