"""Arrays of xarray: dimensions in a layer's order by name, and names and coordinates for results."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

_TIME = "time"
FEATURES = ("feature", "features", "variable", "channel")  # names of dimensions other than the batch


def is_labelled(value) -> bool:
    """Return whether `value` is an ``xarray.DataArray``, without importing xarray."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(value, getattr(xarray, "DataArray", ()))


def arranged(value, what: str, axes: int | None = 3):
    """Return a DataArray with its dimensions in the order of batch, time and features, or raise a ValueError.

    `axes` is their number: 3; 2 for ids, or for one sequence without a batch; None for any.
    """
    dims = list(value.dims)
    if _TIME not in dims:
        raise ValueError(
            f"expected a dimension 'time' in {what}, got {tuple(dims)}; {what}.rename({{'…': 'time'}}) names it"
        )
    if axes is not None and len(dims) != axes:
        hint = f"; {what}.expand_dims('batch') makes a batch of one sequence" if len(dims) == axes - 1 else ""
        wanted = ("batch", "time", "feature")[:axes]
        raise ValueError(f"expected {what} with the dimensions {', '.join(wanted)}, got {tuple(dims)}{hint}")
    last = [dim for dim in dims if dim in FEATURES]
    first = [dim for dim in dims if dim != _TIME and dim not in last]
    if not first:
        raise ValueError(
            f"expected a dimension of the batch in {what}, got {tuple(dims)}; {what}.expand_dims('batch') adds it"
        )
    return value.transpose(first[0], _TIME, *first[1:], *last)


def sequence(value, what: str):
    """Return a DataArray of one sequence, time first."""
    if _TIME not in value.dims:
        raise ValueError(f"expected a dimension 'time' in {what}, got {tuple(value.dims)}")
    return value.transpose(_TIME, ...)


def beside(value, x, what: str):
    """Return a mask or targets with dimensions ordered as in `x`; a ValueError for other coordinates, or no batch."""
    batch = x.dims[0]
    if not is_labelled(value):
        return value
    if batch not in value.dims:
        raise ValueError(f"expected the dimension {batch!r} in {what}, as x has it; got {tuple(value.dims)}")
    for dim in (batch, _TIME):
        both = dim in value.coords and dim in x.coords
        if both and not np.array_equal(value.coords[dim].values, x.coords[dim].values):
            raise ValueError(f"expected {what} with the coordinates of x in {dim!r}; xarray.align puts them in order")
    front = [dim for dim in (batch, _TIME) if dim in value.dims]
    return value.transpose(*front, ...)


def labelled(array: np.ndarray, x, shape: tuple, turned: bool) -> Any:
    """Return a result as a DataArray, with the coordinates of `x` for common dimensions.

    `shape` has None in place of the length if there is an axis of time; `turned` says whether steps are reversed.
    """
    import xarray

    batch = x.dims[0]
    by_step = len(shape) > 1 and shape[1] is None and array.shape[1] == x.sizes[_TIME]
    front = [batch, _TIME] if by_step else [batch]
    count = array.ndim - len(front)
    dims = [*front, *(["unit"] if count == 1 else [f"unit_{i}" for i in range(count)])]
    like = x.isel({dim: 0 for dim in x.dims if dim not in front}, drop=True)
    if turned and by_step:
        like = like.isel({_TIME: slice(None, None, -1)})
    return xarray.DataArray(array, coords=like.coords, dims=dims).rename(None)  # a dask array has a name
