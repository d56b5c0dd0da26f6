"""Memory of a GPU and the order of work on it: the driver's calls, on addresses and handles of streams.

`rnnkit.backends.cuda.simulator.driver` has the same functions for the simulator.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from functools import cache

try:
    from cuda.bindings import driver
except ImportError:  # not used without the extra, though tools may import this module
    driver = None

from rnnkit.backends.cuda.memory.elements import launch_move, launch_pointwise

LEAST = 1 << 20  # bytes below which a copy is sent as it is: the driver has room for it
PIECE = 1 << 22  # bytes on the way at a time
_KEPT = 2**64 - 1  # bytes of freed memory that the pool keeps for later calls: no limit
_pools: dict[int, object] = {}


def _enter() -> None:
    """Give this thread, which has no context, numba's context."""
    from numba import cuda

    cuda.current_context()


def call(function, *arguments):
    """Return the result of a function of the driver; a RuntimeError or MemoryError if it failed."""
    error, *values = function(*arguments)
    if error == driver.CUresult.CUDA_ERROR_INVALID_CONTEXT:
        _enter()
        error, *values = function(*arguments)
    if error != driver.CUresult.CUDA_SUCCESS:
        if error == driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
            raise MemoryError
        raise RuntimeError(f"CUDA: {function.__name__} failed with {error.name}; an earlier kernel may be to blame")
    return values[0] if len(values) == 1 else values


class Memory:
    """Device memory that goes back to the pool with its last user, in the order of the streams that used it."""

    def __init__(self, size: int, stream: int):
        self.address = int(call(driver.cuMemAllocFromPoolAsync, size, _pool(), stream)) if size else 0
        self.streams, self._stream, self._process = {stream}, stream, os.getpid()
        self._context = call(driver.cuCtxGetCurrent)

    def __del__(self):
        if not getattr(self, "address", 0) or self._process != os.getpid():  # a child of fork doesn't own it
            return
        # This may be any thread, with another GPU's context or none; errors can't be raised from here.
        (error,) = driver.cuCtxPushCurrent(self._context)
        if error == driver.CUresult.CUDA_SUCCESS:
            try:
                for stream in self.streams - {self._stream}:
                    with contextlib.suppress(RuntimeError):  # the stream no longer exists
                        follow(self._stream, stream)
                driver.cuMemFreeAsync(self.address, self._stream)
            finally:
                driver.cuCtxPopCurrent()


def _pool():
    """Return this process's pool of the current device, which keeps freed memory."""
    device = current_device()
    if device not in _pools:
        wanted = driver.CUmemPoolProps()
        wanted.allocType = driver.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
        wanted.location.type = driver.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
        wanted.location.id = device
        pool = call(driver.cuMemPoolCreate, wanted)
        threshold = driver.CUmemPool_attribute.CU_MEMPOOL_ATTR_RELEASE_THRESHOLD
        call(driver.cuMemPoolSetAttribute, pool, threshold, driver.cuuint64_t(_KEPT))
        _pools[device] = pool
    return _pools[device]


def free_bytes() -> int:
    """Return the bytes of device memory that nobody holds; memory kept in the pool isn't counted."""
    return int(call(driver.cuMemGetInfo)[0])


def current_device() -> int:
    return int(call(driver.cuCtxGetDevice))


def device_of(address: int) -> int | None:
    """Return the number of the GPU whose memory this is; None for other or freed memory."""
    ordinal = driver.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
    current_device()  # without a context, the driver knows of no memory
    if _memory_type(address) in (None, int(driver.CUmemorytype.CU_MEMORYTYPE_HOST)):
        return None
    return int(call(driver.cuPointerGetAttribute, ordinal, address))


def _memory_type(address: int) -> int | None:
    """Return the driver's type of memory at an address; None of memory that the driver doesn't know."""
    kind = driver.CUpointer_attribute.CU_POINTER_ATTRIBUTE_MEMORY_TYPE
    error, found = driver.cuPointerGetAttribute(kind, address)
    return int(found) if error == driver.CUresult.CUDA_SUCCESS else None


def copy(target: int, source: int, size: int, stream: int) -> None:
    """Copy bytes between any two memories, in the order of a stream."""
    if size:
        call(driver.cuMemcpyAsync, target, source, size, stream)


def upload(target: int, source: int, size: int, stream: int) -> None:
    """Copy bytes of the host, in the order of a stream; they may change once this returns."""
    if size >= LEAST:
        staging(current_device()).up(target, source, size, stream)
    elif size:
        copy(target, source, size, stream)
        if _memory_type(source) is not None:  # pinned, say: the GPU reads such memory by itself, and later
            wait(stream)


def download(target: int, source: int, size: int, stream: int) -> None:
    """Copy bytes to the host, in the order of a stream, and wait for them."""
    if size >= LEAST:
        staging(current_device()).down(target, source, size, stream)
    else:
        copy(target, source, size, stream)
        wait(stream)


class Staging:
    """Two pieces of pinned memory for large copies, one filled while the other travels; events mark them free again.

    The GPU reads and writes pinned memory by itself, at the full speed of the bus; the driver copies other memory.
    """

    def __init__(self):
        self.pieces = [(pinned(PIECE), new_event()) for _ in range(2)]
        self.lock = threading.Lock()  # pieces are shared by all threads

    def up(self, target: int, source: int, size: int, stream: int) -> None:
        """Copy from the host to the GPU; `source` may be written to once this returns."""
        with self.lock:
            for i, start in enumerate(range(0, size, PIECE)):
                piece, event = self.pieces[i % 2]
                count = min(PIECE, size - start)
                wait_for(event)
                ctypes.memmove(piece, source + start, count)
                copy(target + start, piece, count, stream)
                record(event, stream)

    def down(self, target: int, source: int, size: int, stream: int) -> None:
        """Copy from the GPU to the host; the copy is complete once this returns."""
        with self.lock:
            starts = range(0, size, PIECE)
            for i in range(len(starts) + 1):
                if i < len(starts):
                    piece, event = self.pieces[i % 2]
                    wait_for(event)
                    copy(piece, source + starts[i], min(PIECE, size - starts[i]), stream)
                    record(event, stream)
                if i:
                    piece, event = self.pieces[(i - 1) % 2]
                    wait_for(event)
                    ctypes.memmove(target + starts[i - 1], piece, min(PIECE, size - starts[i - 1]))


@cache
def staging(device: int) -> Staging:
    """Return this process's pinned memory for a GPU, whose events are of no use to another."""
    return Staging()


def pinned(size: int) -> int:
    """Return the address of new memory of the host that doesn't move; it is never freed."""
    return int(call(driver.cuMemHostAlloc, size, driver.CU_MEMHOSTALLOC_PORTABLE))


def fill_zero(address: int, size: int, stream: int) -> None:
    if size:
        call(driver.cuMemsetD8Async, address, 0, size, stream)


def wait(stream: int) -> None:
    """Wait until all work in a stream is done."""
    call(driver.cuStreamSynchronize, stream)


def wait_for_all() -> None:
    """Wait until all work in any stream of the current GPU is done."""
    call(driver.cuCtxSynchronize)


def new_event():
    return call(driver.cuEventCreate, driver.CUevent_flags.CU_EVENT_DISABLE_TIMING)


def record(event, stream: int) -> None:
    """Set a mark after all work in a stream."""
    call(driver.cuEventRecord, event, stream)


def wait_for(event) -> None:
    """Wait until the work before a mark is done; not at all if it was never set."""
    call(driver.cuEventSynchronize, event)


class Mark:
    """The place in a stream behind all work in it so far."""

    def __init__(self, stream: int):
        self._event = new_event()
        record(self._event, stream)

    def passed(self) -> bool:
        (error,) = driver.cuEventQuery(self._event)
        return error != driver.CUresult.CUDA_ERROR_NOT_READY

    def __del__(self):
        if hasattr(self, "_event"):
            driver.cuEventDestroy(self._event)


def follow(stream: int, before: int) -> None:
    """Let later work in `stream` start after the present work in `before`, without waiting here."""
    event = new_event()
    try:
        record(event, before)
        call(driver.cuStreamWaitEvent, stream, event, 0)
    finally:
        call(driver.cuEventDestroy, event)


move, pointwise = launch_move, launch_pointwise
