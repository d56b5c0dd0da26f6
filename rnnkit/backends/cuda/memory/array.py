"""Arrays in a GPU's memory: their attributes, their views, and copies to the GPU and back."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnkit.backends.cuda.memory.availability import driver
from rnnkit.backends.cuda.memory.dlpack import capsule, contiguous_strides
from rnnkit.hints import DType


@dataclass(eq=False, slots=True)
class DeviceArray:
    """An array in a GPU's memory: the result of layers on CUDA where the input's library is unknown.

    ``copy_to_host()`` makes a NumPy array of it; CuPy, torch, jax and numba take it where it stands, by
    ``__cuda_array_interface__`` or DLPack. Views come by integers and slices.

    Attributes
    ----------
    owner : object
        What keeps the memory.
    address : int
        Of the first element.
    shape : tuple of int
    strides : tuple of int
        In bytes; negative ones and 0 are allowed.
    dtype : numpy.dtype
    stream : int
        The handle of the stream that last wrote it, 0 for the default one.

    Examples
    --------
    On a machine with a GPU, where `y` is one::

        y[0].copy_to_host()
    """

    owner: Any
    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype
    stream: int = 0

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def contiguous(self) -> bool:
        """Whether the elements stand one after the other in C order."""
        stride = self.itemsize
        for size, own in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if size > 1 and own != stride:
                return not self.size
            stride *= size
        return True

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("expected an array with axes, got one number")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<DeviceArray {self.dtype} {self.shape}>"

    def _view(self, address, shape, strides) -> DeviceArray:
        return DeviceArray(self.owner, address, tuple(shape), tuple(strides), self.dtype, self.stream)

    def __getitem__(self, key: Any) -> DeviceArray:
        """Return a view by integers, slices and ``...``."""
        key = key if isinstance(key, tuple) else (key,)
        if any(one is Ellipsis for one in key):
            at = next(i for i, one in enumerate(key) if one is Ellipsis)
            key = (*key[:at], *[slice(None)] * (self.ndim - len(key) + 1), *key[at + 1 :])
        if len(key) > self.ndim:
            raise IndexError(f"expected at most {self.ndim} indices, got {len(key)}")
        address, shape, strides = self.address, [], []
        for one, size, stride in zip(key, self.shape, self.strides, strict=False):
            if isinstance(one, slice):
                places = range(size)[one]
                start = places.start if places else 0
                shape.append(len(places))
                strides.append(stride * places.step)
            else:
                start = _place(one, size)
            address += start * stride
        return self._view(address, (*shape, *self.shape[len(key) :]), (*strides, *self.strides[len(key) :]))

    def reshape(self, *shape: Any) -> DeviceArray:
        """Return a view of another shape; one size may be -1.

        Raises
        ------
        ValueError
            If the elements aren't contiguous or their number is another.
        """
        wanted = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        if -1 in wanted:
            rest = -math.prod(wanted)
            wanted = tuple(self.size // rest if rest and size == -1 else size for size in wanted)
        if not self.contiguous or math.prod(wanted) != self.size:
            kind = "" if self.contiguous else "contiguous "
            raise ValueError(f"expected a {kind}device array to give the shape {wanted}, got {self.shape}")
        return self._view(self.address, wanted, contiguous_strides(wanted, self.itemsize))

    def swapaxes(self, first: int, second: int) -> DeviceArray:
        """Return a view with two axes exchanged."""
        order = list(range(self.ndim))
        order[first], order[second] = order[second], order[first]
        return self.transpose(order)

    def transpose(self, order: Any) -> DeviceArray:
        """Return a view with the axes in another order."""
        return self._view(self.address, [self.shape[i] for i in order], [self.strides[i] for i in order])

    def ordered_in(self, stream: int) -> DeviceArray:
        """Return the same array for work in another stream, which waits for the work queued in this one's."""
        if stream == self.stream:
            return self
        driver().follow(stream, self.stream)
        self.used_in(stream)
        return replace(self, stream=stream)

    def used_in(self, stream: int) -> None:
        """Keep the array's memory, if it is this program's own, from reuse until a stream's work is done."""
        if isinstance(self.owner, driver().Memory):
            self.owner.streams.add(stream)

    def copy(self) -> DeviceArray:
        """Return a contiguous copy."""
        return copy(self, self.stream)

    __array_ufunc__ = None  # keeps NumPy from making an array of objects

    def __array__(self, dtype: DType = None, copy: Any = None) -> Any:
        raise TypeError(f"expected an array on the host, got {self!r}; copy_to_host() gives one")

    def __add__(self, other: Any) -> Any:
        return _pointwise("add", self, other) if isinstance(other, DeviceArray) else NotImplemented

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, DeviceArray):
            return _pointwise("multiply", self, other)
        return _pointwise("scale", self, other) if isinstance(other, (int, float)) else NotImplemented

    @property
    def __cuda_array_interface__(self) -> Any:
        return {
            "shape": self.shape,
            "strides": None if self.contiguous else self.strides,
            "typestr": self.dtype.str,
            "data": (self.address if self.size else 0, False),
            "stream": self.stream or 1,  # 1 is the default stream there, and 0 is forbidden
            "version": 3,
        }

    def __dlpack_device__(self) -> Any:
        return (2, driver().current_device())  # kDLCUDA

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None
    ) -> Any:
        """Return a capsule of the same memory."""
        if copy or dl_device not in (None, self.__dlpack_device__()):
            raise BufferError("expected to hand a device array over where it stands, without a copy")
        consumer = 0 if stream in (None, 1) else stream
        if consumer == -1:  # the consumer orders the work itself
            return capsule(self)
        return capsule(self.ordered_in(consumer))

    def copy_to_host(self) -> np.ndarray:
        """Return a NumPy array with the same elements, once they are computed."""
        return download(self, self.stream)


def _place(index, size) -> int:
    try:
        found = operator.index(index)
    except TypeError:
        raise TypeError(f"expected integers and slices to take of a device array, got {index!r}") from None
    if not -size <= found < size:
        raise IndexError(f"expected an index below {size}, got {found}")
    return found % size


def handle_of(stream) -> int:
    """Return a stream as the driver takes it: 0 or a handle; numba's streams have theirs."""
    return stream if isinstance(stream, int) else int(stream) if hasattr(stream, "__int__") else 0


def empty(shape, dtype, stream=0) -> DeviceArray:
    """Return new memory, usable from now on in the order of a stream; a MemoryError tells the bytes wanted and free."""
    shape, dtype, handle = tuple(shape), np.dtype(dtype), handle_of(stream)
    size = math.prod(shape) * dtype.itemsize
    try:
        owner = driver().Memory(size, handle)
    except MemoryError:
        raise MemoryError(
            f"expected {size:,} bytes of device memory for an array {shape} of {dtype}, got {driver().free_bytes():,} "
            "free; take smaller batches or shorter parts of the sequences"
        ) from None
    return DeviceArray(owner, owner.address, shape, contiguous_strides(shape, dtype.itemsize), dtype, handle)


def zeros(shape, dtype, stream=0) -> DeviceArray:
    found = empty(shape, dtype, stream)
    driver().fill_zero(found.address, found.nbytes, found.stream)
    return found


def upload(array, stream=0, out: DeviceArray | None = None) -> DeviceArray:
    """Return a NumPy array's elements on the device, contiguous; `array` may be changed once this returns.

    The copy is made in the order of the stream, and goes to `out` if that is given: of the same shape and dtype,
    contiguous.
    """
    array = np.ascontiguousarray(array).reshape(np.shape(array))  # `ascontiguousarray` makes a scalar one-dimensional
    out = empty(array.shape, array.dtype, stream) if out is None else _target(out, array, stream)
    driver().upload(out.address, array.ctypes.data, out.nbytes, out.stream)
    return out


def _target(out, array, stream) -> DeviceArray:
    if out.shape != array.shape or out.dtype != array.dtype or not out.contiguous:
        raise ValueError(f"expected a contiguous device array {array.shape} of {array.dtype} to fill, got {out!r}")
    out.stream = handle_of(stream)
    return out


def download(array: DeviceArray, stream=0) -> np.ndarray:
    """Return a device array's elements, of any strides, in a new NumPy array; waits for them."""
    if not array.contiguous:
        array = copy(array, stream)
    found, handle = np.empty(array.shape, array.dtype), handle_of(stream)
    driver().download(found.ctypes.data, array.address, array.nbytes, handle)
    return found


def copy(array: DeviceArray, stream=0) -> DeviceArray:
    """Return a contiguous copy of an array of any strides."""
    found = empty(array.shape, array.dtype, stream)
    assign(found, array, stream)
    return found


def assign(target: DeviceArray, source: DeviceArray, stream=0) -> None:
    """Copy elements into an array of the same shape and dtype, both of any strides."""
    if target.shape != source.shape or target.dtype != source.dtype:
        raise ValueError(f"expected device arrays of one shape and dtype to copy, got {target!r} and {source!r}")
    handle = handle_of(stream)
    if target.contiguous and source.contiguous:
        driver().copy(target.address, source.address, target.nbytes, handle)
    else:
        strides = target.strides, source.strides
        driver().move(target.address, source.address, target.shape, *strides, target.itemsize, handle)


def concatenate(arrays) -> DeviceArray:
    """Return the arrays joined along the last axis, in the order of the first one's stream."""
    first = arrays[0]
    whole = empty((*first.shape[:-1], sum(one.shape[-1] for one in arrays)), first.dtype, first.stream)
    start = 0
    for one in arrays:
        assign(whole[..., start : start + one.shape[-1]], one, first.stream)
        start += one.shape[-1]
    return whole


def _pointwise(name, first: DeviceArray, second) -> DeviceArray:
    """Return a new array, in the order of the first one's stream."""
    if isinstance(second, DeviceArray):
        if first.shape != second.shape or first.dtype != second.dtype:
            raise ValueError(f"expected device arrays of one shape and dtype, got {first!r} and {second!r}")
        kept = second if second.contiguous else copy(second, first.stream)
        operand = kept.address
    else:
        operand = first.dtype.type(second)
    first = first if first.contiguous else copy(first, first.stream)
    found = empty(first.shape, first.dtype, first.stream)
    driver().pointwise(name, found.address, first.address, operand, found.size, found.dtype, found.stream)
    return found
