"""The forms of a loop's inputs, as a layer takes them, and its results in the same form."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.complex_pairs import is_complex
from rnnkit.layers.support import validation
from rnnkit.sequences import columns
from rnnkit.sequences.labelled import FEATURES, arranged, beside, is_labelled, labelled, sequence
from rnnkit.sequences.ragged import is_list_of_sequences, ragged


class Arrays:
    """An array ``(T,)``, ``(T, *F)`` or ``(B, T, *F)`` as x ``(B, T, *F)``; `has_rows` if it came with the axis B."""

    def __init__(self, x, has_rows: bool | None = None):
        count = x.ndim
        if not count:
            raise ValueError("expected x of shape (T,), (T, F) or (B, T, F), got a single number; stream() takes one")
        self.has_rows = rows = count > 2 if has_rows is None else has_rows
        self._is_numbers = numbers = count == 1 + rows
        if numbers:
            self.x = x[..., None] if rows else x[None, :, None]
        else:
            self.x = x if rows else x[None]

    def mask(self, mask, x):
        """Return a mask as a layer takes it, for x with all rows."""
        if mask is None:
            return None
        found = validation.array(mask, "mask")
        if found.ndim == 1 and not self.has_rows:
            if len(found) != x.shape[1]:
                raise ValueError(f"expected mask of shape {x.shape[1:2]}, one value per step; got {found.shape}")
            found = np.broadcast_to(found, (len(x), *found.shape))
        return found

    def shown(self, y, has_rows: bool) -> Any:
        """Return outputs ``(B, T, *O)`` in the input's form."""
        return y if has_rows else y[0]

    def taken(self, d, y, has_rows: bool) -> np.ndarray:
        """Return the cotangents of outputs `y` ``(B, T, *O)``, given in the outputs' form."""
        found, shape = validation.numbers(d, "d_outputs", is_complex(y)), y.shape if has_rows else y.shape[1:]
        if found.shape != shape:
            raise ValueError(f"expected d_outputs of shape {shape}, as the call's result, got {found.shape}")
        return found if has_rows else found[None]

    def gradient(self, d) -> Any:
        """Return the cotangent of `x` in the input's form."""
        d = d[..., 0] if self._is_numbers else d
        return d if self.has_rows else d[0]


class Table(Arrays):
    """A Series or a frame of pandas or polars."""

    def __init__(self, table, library):
        Arrays.__init__(self, columns.numbers(table, library, "x"))
        self._table, self._library = table, library

    def shown(self, y, has_rows):
        """Return outputs in the input's form: without rows as a Series, or as a frame of vectors."""
        return y if has_rows else columns.alike(y[0], self._table, self._library)

    def gradient(self, d):
        """Return the cotangent of `x` as a table of the input's kind."""
        return columns.alike(super().gradient(d), self._table, self._library)


class Labelled(Arrays):
    """A DataArray of xarray, read by its dimensions."""

    def __init__(self, x):
        self._dims, of_rows = x.dims, [dim for dim in x.dims if dim not in ("time", *FEATURES)]
        self._of = arranged(x if of_rows else x.expand_dims("row"), "x", None)
        super().__init__(self._of.values, True)
        self.has_rows = bool(of_rows)

    def mask(self, mask, x):
        """Return a mask as a layer takes it; a DataArray's dimensions are put in order."""
        if is_labelled(mask):
            mask = (beside(mask, self._of, "mask") if self.has_rows else sequence(mask, "mask")).values
        return super().mask(mask, x)

    def shown(self, y, has_rows):
        """Return outputs with the dimensions of rows and time, and their coordinates."""
        found = labelled(y, self._of, (None, None), False)
        return found if has_rows else found.isel(row=0, drop=True)

    def taken(self, d, y, has_rows):
        """Return the cotangents of outputs; a DataArray's dimensions are put in order."""
        if is_labelled(d):
            front = [dim for dim in self._of.dims[:2] if dim in d.dims]
            d = d.transpose(*front, ...).values
        return super().taken(d, y, has_rows)

    def gradient(self, d):
        """Return the cotangent of `x` with the input's order of dimensions."""
        found = self._of.copy(data=d.reshape(self._of.shape)).rename(None)
        return (found if self.has_rows else found.isel(row=0, drop=True)).transpose(*self._dims)


class Sequences(Arrays):
    """A list of sequences, padded under a mask."""

    def __init__(self, given):
        found = ragged(given, "x")
        self._lengths, self._given = found.lengths.tolist(), given
        length = max(self._lengths)
        self._used = found.mask(length)
        super().__init__(found.padded(length), True)

    def mask(self, mask, x):
        """Return the mask of the steps that aren't padding."""
        if mask is not None:
            raise ValueError("expected no mask beside a list of sequences, whose lengths say it; got one")
        return np.broadcast_to(self._used, x.shape[:2])

    def _each(self, y):
        """Return the length of each row, and the sequence that it came from: one may serve all rows of parameters."""
        pairs = list(zip(self._lengths, self._given, strict=True))
        return pairs if len(pairs) == len(y) else pairs * len(y)

    def shown(self, y, has_rows):
        """Return a list with an array, or a Series or frame, for each sequence."""
        return [_like(np.array(one[:n]), of) for one, (n, of) in zip(y, self._each(y), strict=True)]

    def taken(self, d, y, has_rows):
        """Return the cotangents of each sequence, padded."""
        found = ragged(d, "d_outputs")
        shapes = [one.shape for one in found.sequences]
        if shapes != (wanted := [(n, *y.shape[2:]) for n, _ in self._each(y)]):
            raise ValueError(f"expected d_outputs of the shapes {wanted}, as the call's result, got {shapes}")
        return found.padded(y.shape[1])

    def gradient(self, d):
        """Return a list of the sequences' cotangents."""
        return self.shown(super().gradient(d), True)


def _like(array, of):
    library = columns.library_of(of)
    return array if library is None else columns.alike(array, of, library)


def form_of(x) -> Arrays:
    """Return an input in its form."""
    if type(x) is np.ndarray:
        return Arrays(x)
    library = columns.library_of(x)
    if library is not None:
        return Table(x, library)
    if is_labelled(x):
        return Labelled(x)
    if is_list_of_sequences(x, 1, True) or is_list_of_sequences(x, 2, True):
        return Sequences(x)
    return Arrays(validation.array(x, "x", complex_too=True))
