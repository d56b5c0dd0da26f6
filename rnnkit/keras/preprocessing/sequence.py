"""Sequences that are padded, and windows of a series."""

from __future__ import annotations

import numpy as np

from rnnkit.keras.utils import PyDataset, pad_sequences

__all__ = ["TimeseriesGenerator", "pad_sequences"]


class TimeseriesGenerator(PyDataset):
    """Batches of windows of a series, with the targets that follow them.

    Parameters
    ----------
    data, targets : array_like
        Arrays of the same length.
    length : int
        Steps of a window, of which every `sampling_rate`-th is taken.
    sampling_rate, stride : int
        Steps between entries of a window; between windows.
    start_index, end_index : int, optional
        The first step of the windows, and the last one that they reach.
    shuffle : bool
        Draw windows at random in place of all in order.
    reverse : bool
        Windows from their end to their beginning.
    batch_size : int
    seed : int, optional

    Examples
    --------
    >>> from rnnkit import keras
    >>> series = np.arange(6.0)
    >>> x, y = keras.preprocessing.sequence.TimeseriesGenerator(series, series, length=2, batch_size=2)[0]
    >>> x.tolist(), y.tolist()
    ([[0.0, 1.0], [1.0, 2.0]], [2.0, 3.0])
    """

    def __init__(
        self,
        data,
        targets,
        length,
        sampling_rate=1,
        stride=1,
        start_index=0,
        end_index=None,
        shuffle=False,
        reverse=False,
        batch_size=128,
        seed=None,
    ):
        super().__init__()
        self.data, self.targets = np.asarray(data), np.asarray(targets)
        if len(self.data) != len(self.targets):
            raise ValueError(f"expected data and targets of one length, got {len(self.data)} and {len(self.targets)}")
        self.length, self.sampling_rate, self.stride = int(length), int(sampling_rate), int(stride)
        self.start_index = start_index + self.length
        self.end_index = len(self.data) - 1 if end_index is None else end_index
        if self.start_index > self.end_index:
            raise ValueError(f"expected a series longer than the length {self.length}, got {len(self.data)} steps")
        self.shuffle, self.reverse, self.batch_size = shuffle, reverse, int(batch_size)
        self._rng = np.random.default_rng(seed)

    def __len__(self):
        step = self.batch_size * self.stride
        return (self.end_index - self.start_index + step) // step

    def __getitem__(self, index):
        """Return a batch ``(windows, targets)``."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"expected a batch below {len(self)}, got {index}")
        if self.shuffle:
            rows = self._rng.integers(self.start_index, self.end_index + 1, self.batch_size)
        else:
            first = self.start_index + self.batch_size * self.stride * (index % len(self))
            rows = np.arange(first, min(first + self.batch_size * self.stride, self.end_index + 1), self.stride)
        windows = np.stack([self.data[row - self.length : row : self.sampling_rate] for row in rows])
        return windows[:, ::-1] if self.reverse else windows, self.targets[rows]
