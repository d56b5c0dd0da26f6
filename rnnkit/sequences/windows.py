"""Windows of long sequences, read a batch at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.arguments import integer, is_integer, positive_integer, shown, whole
from rnnkit.arrays import REAL, has_shape, is_stored, real, refuse
from rnnkit.hints import DType, Seed
from rnnkit.sequences.ragged import ragged


class WindowRows:
    """Windows as the rows of a virtual array ``(N, L, …)``, of which only the rows read are copied.

    The data, time first, are an ndarray or memory map, or allow slices along the first axis, such as datasets of HDF5
    and zarr. Windows begin at `starts` ``(N,)``, and have the steps `offsets` ``(L,)`` behind; of a single one, a row
    has no axis of time.
    """

    def __init__(self, data, starts: np.ndarray, offsets):
        self.data, self.starts, self.offsets = data, starts, np.asarray(offsets)
        self.shape = (len(starts), *self.offsets.shape, *data.shape[1:])
        self.dtype = np.dtype(data.dtype)

    @property
    def ndim(self) -> int:
        """The number of axes, with that of the windows."""
        return len(self.shape)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows) -> np.ndarray:
        starts = self.starts[rows]
        steps = starts[..., None] + self.offsets if self.offsets.ndim else starts + self.offsets
        if isinstance(self.data, np.ndarray):
            return np.asarray(self.data[steps])
        return self._sliced(steps)

    def _sliced(self, steps: np.ndarray) -> np.ndarray:
        """Read the slice from the first to the last step of each window, for data without indexing by arrays."""
        found = np.empty((*steps.shape, *self.data.shape[1:]), self.dtype)
        for row in np.ndindex(steps.shape[:1]):
            own = steps[row]
            if own.size:
                least = int(own.min())
                found[row] = np.asarray(self.data[least : int(own.max()) + 1])[own - least]
        return found

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self[:], dtype)

    def __repr__(self):
        return f"<WindowRows of shape {self.shape}, {self.dtype}>"


class Windows:
    """Batches ``(x, y)`` of windows, as `rnnkit.windows` makes them.

    It has ``len`` and indices, and `fit`, `evaluate` and `predict` take it as their data.

    Attributes
    ----------
    x : WindowRows (N, L, F)
        All windows in order, as an array whose rows are read on use.
    y : WindowRows (N, …) or None
        Their targets.
    batch_size : int
    shuffle : bool
        Whether the windows are in a new random order each epoch of `fit`.
    """

    batch_size: Any
    shuffle: Any
    x: Any
    y: Any

    def __init__(self, x: WindowRows, y: WindowRows | None, batch_size: int, shuffle: bool, seed: Seed):
        self.x, self.y, self.batch_size, self.shuffle = x, y, batch_size, bool(shuffle)
        self._generator = np.random.default_rng(seed)
        self._order: np.ndarray | None = None
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        """Shuffle the windows again; `fit` calls it after each epoch."""
        if self.shuffle:
            self._order = self._generator.permutation(len(self.x))

    def __len__(self) -> int:
        return -(-len(self.x) // self.batch_size)

    def __getitem__(self, batch: Any) -> Any:
        place = integer(batch, "the number of a batch")
        place += len(self) * (place < 0)
        if not 0 <= place < len(self):
            raise IndexError(f"expected the number of a batch below {len(self)}, got {batch}")
        rows: Any = slice(place * self.batch_size, (place + 1) * self.batch_size)
        if self._order is not None:
            rows = self._order[rows]
        return self.x[rows] if self.y is None else (self.x[rows], self.y[rows])

    def __array__(self, dtype: DType = None, copy: Any = None) -> Any:
        raise TypeError(
            "expected an array, got batches of windows, which fit, evaluate and predict take alone; the arrays of all "
            "windows are windows.x and windows.y"
        )

    def __repr__(self) -> str:
        y = "" if self.y is None else f", y {self.y.shape}"
        return f"<{len(self)} batches of windows: x {self.x.shape}{y}>"


def windows(
    data: Any,
    length: int,
    *,
    horizon: Any = 1,
    targets: Any = None,
    stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int = 32,
    shuffle: bool = False,
    seed: Seed = None,
) -> Windows:
    """Cut a long sequence into windows with the targets after each of them, for `fit`.

    Only the steps of one batch are copied at a time.

    Parameters
    ----------
    data : array_like (T, F) or (T,), or DataFrame, or a list of these
        An array, a memory map, a dataset of HDF5 or zarr, or a frame of numbers with a row per step. ``(T,)`` is one
        feature. Of a list of several series, which is copied once, each window lies within one of them.
    length : int
        L, the steps of a window.
    horizon : int, sequence of int, or None
        The steps of y after the window's last one; for several, such as ``range(1, 25)``, the
        values at each of them. 0 is the last step itself; with ``range(2 - length, 2)`` y is x, one step later. None
        makes windows without y.
    targets : array_like (T, …), or names of columns, optional
        The source of y; by default `data`. A name, or a list of names, selects columns of a frame. For a list
        of series a list, too.
    stride : int
        Steps from one window to the next.
    sampling_rate : int
        Steps of `data` from one step of a window to the next. Horizons count these, too.
    batch_size : int
    shuffle : bool
        Whether to order windows at random, anew in each epoch. Otherwise batches are in the order of time, as
        needed for `predict`; `fit` shuffles the batches, not the windows in them.
    seed : int, optional
        Of the orders.

    Returns
    -------
    Windows
        With ``len``, batches ``(x, y)`` by index, and ``x`` and ``y`` for all windows, which `fit` takes too:
        ``model.fit(w.x, w.y, validation_split=0.2)``. x is ``(B, L, F)``; y is ``(B, …)``, or ``(B, H, …)`` for H
        horizons.

    Raises
    ------
    ValueError
        If the data have no window of this length, or targets another length than the data.
    TypeError
        For data that are no numbers.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> batches = rk.windows(np.arange(6.0), 3, batch_size=2)
    >>> x, y = batches[0]
    >>> x[:, :, 0]
    array([[0., 1., 2.],
           [1., 2., 3.]])
    >>> y
    array([3., 4.])
    """
    length, stride = positive_integer(length, "length"), positive_integer(stride, "stride")
    sampling_rate = positive_integer(sampling_rate, "sampling_rate")
    batch_size = positive_integer(batch_size, "batch_size")
    steps = _horizon(horizon, length)
    taken, (source, lengths) = None if steps is None else _targets(data, targets), _series(data, "data")
    if taken is None:
        taken = source, lengths
    if not np.array_equal(taken[1], lengths):
        told = [one.tolist() if len(one) > 1 else int(one[0]) for one in (lengths, taken[1])]
        raise ValueError(f"expected targets with {told[0]} steps, as data has; got {told[1]}")
    last = (length - 1) * sampling_rate
    ahead = 0 if steps is None else max(0, int(steps.max())) * sampling_rate
    ends = np.cumsum(lengths)
    starts = np.concatenate(
        [np.arange(end - n, end - last - ahead, stride) for n, end in zip(lengths, ends, strict=True)]
    )
    if not len(starts):
        raise ValueError(
            f"expected data with at least {last + ahead + 1} steps, for a window of {length} and the horizon; "
            f"got {lengths.max(initial=0)}"
        )
    if len(source.shape) == 1:
        source = source[:, None] if isinstance(source, np.ndarray) else OneFeature(source)
    x = WindowRows(source, starts, np.arange(length) * sampling_rate)
    y = None if steps is None else WindowRows(taken[0], starts, last + steps * sampling_rate)
    return Windows(x, y, batch_size, shuffle, seed)


def timeseries_dataset_from_array(
    data,
    targets,
    sequence_length,
    sequence_stride=1,
    sampling_rate=1,
    batch_size=128,
    shuffle=False,
    seed=None,
    start_index=None,
    end_index=None,
):
    """Cut windows as Keras's function of this name does: `targets[i]` belongs to the window that begins at i.

    Parameters
    ----------
    data : array_like (T, …)
    targets : array_like (T, …) or None
        None for windows alone.
    sequence_length, sequence_stride, sampling_rate : int
        `length`, `stride` and `sampling_rate` of `rnnkit.windows`.
    batch_size : int or None
        None brings single windows, without a batch axis.
    shuffle, seed
        As `rnnkit.windows` has them; the order is rnnkit's own.
    start_index, end_index : int, optional
        Steps of `data` before the first and from the second on are left out.

    Returns
    -------
    Windows

    Raises
    ------
    ValueError, TypeError
        As `rnnkit.windows`; and for indices out of range.

    Examples
    --------
    >>> import numpy as np
    >>> data = np.arange(6.0)
    >>> x, y = timeseries_dataset_from_array(data[:-3], data[3:], sequence_length=3)[0]
    >>> x, y
    (array([[0., 1., 2.]]), array([3.]))
    """
    source = _steps(data, "data")
    length = positive_integer(sequence_length, "sequence_length")
    stride = _below(positive_integer(sequence_stride, "sequence_stride"), "sequence_stride", len(source))
    rate = _below(positive_integer(sampling_rate, "sampling_rate"), "sampling_rate", len(source))
    first = _below(whole(0 if start_index is None else start_index, "start_index", 0), "start_index", len(source))
    end = len(source)
    if end_index is not None:
        end = _below(whole(end_index, "end_index", first + 1), "end_index", len(source))
    taken = None if targets is None else _steps(targets, "targets")
    count = min(end - first - (length - 1) * rate, end if taken is None else len(taken) - first)
    starts = np.arange(first, first + max(0, count), stride)
    x = WindowRows(source, starts, np.arange(length) * rate)
    y = None if taken is None else WindowRows(taken, starts, 0)
    kind = SingleWindows if batch_size is None else Windows
    return kind(x, y, 1 if batch_size is None else positive_integer(batch_size, "batch_size"), shuffle, seed)


class SingleWindows(Windows):
    """Windows one at a time, without an axis of the batch."""

    def __getitem__(self, batch):
        found = super().__getitem__(batch)
        return found[0] if self.y is None else tuple(one[0] for one in found)


def _below(value: int, what: str, count: int) -> int:
    if value >= count:
        raise ValueError(f"expected {what} below {count}, the number of steps; got {value}")
    return value


def _horizon(horizon, length: int) -> np.ndarray | None:
    """Return the steps after a window's last one, a number or several."""
    if horizon is None:
        return None
    several = not is_integer(horizon)
    try:
        values = [integer(one, "a horizon") for one in horizon] if several else [integer(horizon, "horizon")]
    except (TypeError, ValueError):
        got = shown(horizon)
        raise ValueError(f"expected horizon as an integer, or several such as range(1, 25); got {got}") from None
    if not values or min(values) <= -length:
        raise ValueError(f"expected horizons above {-length}, within or after the window; got {shown(horizon)}")
    return np.array(values if several else values[0])


def _series(value, what: str):
    """Return data as one array or a reader of steps, and the length of each series in it."""
    if type(value) is not list or not any(has_shape(one) and len(one.shape) for one in value):
        found = _steps(value, what)
        return found, np.array([found.shape[0]])
    found = ragged(value, what)
    return np.concatenate(found.sequences), found.lengths


def _targets(data, targets):
    """Return the source of y, in the form of `_series`; None for the data."""
    if targets is None:
        return None
    names = isinstance(targets, str) or (isinstance(targets, list) and targets and isinstance(targets[0], str))
    if not names:
        return _series(targets, "targets")
    chosen = [targets] if isinstance(targets, str) else targets
    for one in data if type(data) is list else [data]:
        columns = list(getattr(one, "columns", []))
        if missing := [name for name in chosen if name not in columns]:
            held = f"a frame with the columns {', '.join(map(str, columns))}" if columns else "an array"
            raise ValueError(
                f"expected targets as an array, or names of columns of data; got {missing[0]!r} for {held}"
            )
    return _series([one[targets] for one in data] if type(data) is list else data[targets], "targets")


def _steps(value, what: str):
    """Return data with a time axis: an array, or a reader of steps from disk."""
    if is_stored(value) and np.dtype(value.dtype).kind in REAL:
        refuse(value, what)
        return value
    found = real(value, what)
    if not found.ndim:
        raise ValueError(f"expected {what} of shape (time, features), got a single number")
    return found


class OneFeature:
    """A sequence of numbers on disk, with an axis of one feature."""

    def __init__(self, of):
        self.of, self.shape, self.dtype = of, (*of.shape, 1), of.dtype

    def __getitem__(self, steps):
        return np.asarray(self.of[steps])[:, None]
