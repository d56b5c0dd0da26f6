"""Keras's utilities: arrays for models, names for one's own classes, pictures of models."""

from __future__ import annotations

import logging
import os

import numpy as np

from rnnkit import console
from rnnkit.keras.naming import gathered
from rnnkit.layers.support.symbolic import SymbolicTensor
from rnnkit.sequences import padding as plain
from rnnkit.serialization.atomic_files import replacing

_SAVING = (
    "CustomObjectScope custom_object_scope deserialize_keras_object get_custom_objects get_registered_name "
    "get_registered_object register_keras_serializable serialize_keras_object"
)
_PLACES = {
    "rnnkit.keras.saving": _SAVING,
    "rnnkit.keras.settings": "clear_session set_random_seed",
    "rnnkit.sequences.windows": "timeseries_dataset_from_array",
}
__getattr__, __dir__ = gathered("utils", _PLACES)


def to_categorical(x, num_classes=None) -> np.ndarray:
    """Return ids as rows of zeros with a 1 at the id's index; an axis of 1 at the end is removed.

    >>> to_categorical([0, 2]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    ids = np.asarray(x, np.int64)
    if ids.ndim > 1 and ids.shape[-1] == 1:
        ids = ids[..., 0]
    count = int(ids.max()) + 1 if num_classes is None else int(num_classes)
    if ids.size and not (ids.min() >= 0 and ids.max() < count):
        raise ValueError(f"expected ids from 0 to {count - 1}, got {ids.min()} to {ids.max()}")
    return np.eye(count)[ids]


def pad_sequences(sequences, maxlen=None, dtype="int32", padding="pre", truncating="pre", value=0.0) -> np.ndarray:
    """Pad sequences as `rnnkit.pad_sequences`; numbers are cut to integers unless `dtype` is one of floats."""
    return plain.pad_sequences(sequences, maxlen, dtype, padding, truncating, value)


def normalize(x, axis=-1, order=2) -> np.ndarray:
    """Return an array divided by its length along an axis; vectors of length 0 stay."""
    x = np.atleast_1d(np.asarray(x, np.float64))
    length = np.linalg.norm(x, order, axis, keepdims=True)
    return x / np.where(length == 0, 1.0, length)


class PyDataset:
    """Base of data that comes in batches: one's own defines ``__len__`` and ``__getitem__``, and `on_epoch_end`.

    Parameters
    ----------
    workers, use_multiprocessing, max_queue_size
        Nothing: batches are made in this process, one after the other.
    """

    def __init__(self, workers=1, use_multiprocessing=False, max_queue_size=10):
        self.workers, self.use_multiprocessing, self.max_queue_size = workers, use_multiprocessing, max_queue_size

    @property
    def num_batches(self) -> int:
        """The number of batches."""
        return len(self)

    def __getitem__(self, index):
        """Return a batch ``(x, y)`` or ``(x, y, sample_weight)``."""
        raise NotImplementedError(f"expected {type(self).__name__} to define __getitem__(index)")

    def __len__(self):
        raise NotImplementedError(f"expected {type(self).__name__} to define __len__()")

    def on_epoch_begin(self) -> None:
        """Do nothing; it is never called."""

    def on_epoch_end(self) -> None:
        """Do nothing; called after an epoch."""


Sequence = PyDataset


def plot_model(model, to_file="model.png", show_shapes=False, **keywords) -> str:
    """Write a drawing of a model as SVG, and return it; a suffix of `to_file` other than ``.svg`` is replaced."""
    drawing = model._drawing()
    path = f"{os.path.splitext(os.fspath(to_file))[0]}.svg"
    with replacing(path) as beside, open(beside, "w", encoding="utf-8") as file:
        file.write(drawing)
    return drawing


def split_dataset(dataset, left_size=None, right_size=None, shuffle=False, seed=None, preferred_backend=None):
    """Return arrays in two parts by their rows: ``(left, right)``, nested as `dataset` is.

    Parameters
    ----------
    dataset : array or tuple of arrays
    left_size, right_size : float or int
        A share of the rows, or how many.
    shuffle : bool
    seed : int, optional
    """
    several = isinstance(dataset, (tuple, list))
    arrays = [np.asarray(one) for one in (dataset if several else [dataset])]
    rows = len(arrays[0])
    count = lambda size: round(size * rows) if isinstance(size, float) else int(size)
    if left_size is None and right_size is None:
        raise ValueError("expected left_size or right_size, got neither")
    left = rows - count(right_size) if left_size is None else count(left_size)
    right = rows - left if right_size is None else count(right_size)
    order = np.random.default_rng(seed).permutation(rows) if shuffle else np.arange(rows)
    parts = [
        type(dataset)(a[o] for a in arrays) if several else arrays[0][o] for o in (order[:left], order[rows - right :])
    ]
    return parts[0], parts[1]


def pack_x_y_sample_weight(x, y=None, sample_weight=None):
    """Return a batch as a tuple, without the entries that are None at its end."""
    if sample_weight is not None:
        return x, y, sample_weight
    return (x, y) if y is not None else (x,) if isinstance(x, (tuple, list)) else x


def unpack_x_y_sample_weight(data):
    """Return ``(x, y, sample_weight)`` of a batch, with None for missing entries."""
    given = data if isinstance(data, (tuple, list)) else (data,)
    return (*given, None, None)[:3]


def is_keras_tensor(x) -> bool:
    """Return whether this is a symbolic tensor, such as that of `Input`."""
    return isinstance(x, SymbolicTensor)


def standardize_dtype(dtype) -> str:
    """Return the name of a dtype."""
    return np.dtype(getattr(dtype, "name", dtype) or "float32").name


def enable_interactive_logging() -> None:
    """Let callbacks print their messages, as they do at first."""
    console.log.clear()


def disable_interactive_logging() -> None:
    """Let the messages of callbacks go to Python's logging, to the logger ``rnnkit``, in place of the terminal."""
    console.log[:] = [logging.getLogger("rnnkit").info]


def is_interactive_logging_enabled() -> bool:
    """Return the last setting."""
    return not console.log


class Progbar:
    """Progress of a loop on one line.

    Parameters
    ----------
    target : int or None
        The number of steps.
    verbose : int
        0 says nothing.
    """

    def __init__(self, target, width=20, verbose=1, **keywords):
        self.target, self.verbose, self._seen = target, verbose, 0

    def update(self, current, values=None, finalize=None) -> None:
        """Show that so many steps are done."""
        self._seen = current
        if self.verbose and (finalize or current == self.target):
            text = ", ".join(f"{name} {float(value):.4g}" for name, value in values or [])
            print(f"{current}/{self.target}{': ' if text else ''}{text}")

    def add(self, n, values=None) -> None:
        """Show that so many more steps are done."""
        self.update(self._seen + n, values)
