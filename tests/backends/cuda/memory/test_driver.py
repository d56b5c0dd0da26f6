"""The driver's calls, on a driver that has the host's memory alone and does all at once; and the kernels of copies."""

import ctypes
import importlib
import importlib.util
import sys
import types
from enum import IntEnum

import numpy as np
import pytest

from rnnkit.backends.cuda.memory import array as cuda_memory
from rnnkit.backends.cuda.memory import availability, driver

HAS_PACKAGE = importlib.util.find_spec("numba_cuda") is not None


class Results(IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_INVALID_CONTEXT = 201


class HostDriver:
    """What `cuda.bindings.driver` has of what is used, with a list of the calls."""

    CUresult = Results
    CUmemPoolProps = types.SimpleNamespace
    CUmemAllocationType = types.SimpleNamespace(CU_MEM_ALLOCATION_TYPE_PINNED=1)
    CUmemLocationType = types.SimpleNamespace(CU_MEM_LOCATION_TYPE_DEVICE=1)
    CUmemPool_attribute = types.SimpleNamespace(CU_MEMPOOL_ATTR_RELEASE_THRESHOLD=4)
    CUpointer_attribute = types.SimpleNamespace(
        CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL="device", CU_POINTER_ATTRIBUTE_MEMORY_TYPE="kind"
    )
    CUmemorytype = types.SimpleNamespace(CU_MEMORYTYPE_HOST=1)
    CUevent_flags = types.SimpleNamespace(CU_EVENT_DISABLE_TIMING=2)
    CU_MEMHOSTALLOC_PORTABLE = 1
    cuuint64_t = int
    free = 1 << 30

    def __init__(self):
        self.held, self.calls, self.pinned = {}, [], set()
        self.contexts, self.device = ["context"], 0
        self.CUmemPoolProps = lambda: types.SimpleNamespace(location=types.SimpleNamespace())

    def __getattr__(self, name):
        def called(*arguments):
            self.calls.append((name, *arguments))
            return (Results.CUDA_SUCCESS, name)

        called.__name__ = name
        return called

    def cuCtxGetDevice(self):
        if not self.contexts:
            return Results.CUDA_ERROR_INVALID_CONTEXT, None
        return Results.CUDA_SUCCESS, self.device

    def cuCtxGetCurrent(self):
        return Results.CUDA_SUCCESS, self.contexts[-1]

    def cuCtxPushCurrent(self, context):
        self.contexts.append(context)
        return (Results.CUDA_SUCCESS,)

    def cuCtxPopCurrent(self):
        return Results.CUDA_SUCCESS, self.contexts.pop()

    def cuMemGetInfo(self):
        return Results.CUDA_SUCCESS, self.free, 2 * self.free

    def cuMemAllocFromPoolAsync(self, size, pool, stream):
        if size > self.free:
            return Results.CUDA_ERROR_OUT_OF_MEMORY, None
        memory = ctypes.create_string_buffer(size)
        self.held[ctypes.addressof(memory)] = memory
        return Results.CUDA_SUCCESS, ctypes.addressof(memory)

    def cuMemHostAlloc(self, size, flags):
        return self.cuMemAllocFromPoolAsync(size, None, 0)

    def cuMemFreeAsync(self, address, stream):
        self.calls.append(("cuMemFreeAsync", stream, self.contexts[-1]))
        del self.held[address]
        return (Results.CUDA_SUCCESS,)

    def cuMemcpyAsync(self, target, source, size, stream):
        self.calls.append(("cuMemcpyAsync", size, stream))
        ctypes.memmove(target, source, size)
        return (Results.CUDA_SUCCESS,)

    def cuMemsetD8Async(self, address, value, size, stream):
        ctypes.memset(address, value, size)
        return (Results.CUDA_SUCCESS,)

    def cuPointerGetAttribute(self, attribute, address):
        if attribute == "kind" and address in self.pinned:
            return Results.CUDA_SUCCESS, 1
        if address not in self.held:
            return Results.CUDA_ERROR_INVALID_VALUE, None
        return Results.CUDA_SUCCESS, 0 if attribute == "device" else 2


@pytest.fixture
def gpu(monkeypatch):
    """The driver's calls on such a driver."""
    found = HostDriver()
    monkeypatch.setitem(sys.modules, "cuda", types.ModuleType("cuda"))
    monkeypatch.setitem(sys.modules, "cuda.bindings", types.SimpleNamespace(driver=found))
    monkeypatch.delitem(sys.modules, "rnnkit.backends.cuda.memory.driver", raising=False)
    calls = importlib.import_module("rnnkit.backends.cuda.memory.driver")
    monkeypatch.setattr(calls, "_enter", lambda: found.contexts.append("numba's"))
    monkeypatch.setattr(cuda_memory, "driver", lambda: calls)
    yield found
    sys.modules.pop("rnnkit.backends.cuda.memory.driver", None)


@pytest.mark.parametrize("size", [0, 1, 1000, 1 << 20, (1 << 22) - 3, 1 << 22, (1 << 23) + 5, (1 << 24) + 4])
def test_bytes_go_up_and_down(gpu, rng, size):
    a = rng.integers(0, 255, size, np.uint8)
    there = cuda_memory.upload(a, stream=3)
    gpu.calls.clear()
    np.testing.assert_array_equal(cuda_memory.download(there, stream=3), a)
    copies = [call for call in gpu.calls if call[0] == "cuMemcpyAsync"]
    assert sum(count for _, count, _ in copies) == size
    assert len(copies) == (-(-size // driver.PIECE) if size >= driver.LEAST else min(size, 1))
    assert {stream for _, _, stream in copies} <= {3}


def test_memory_goes_back_in_the_order_of_its_stream(gpu):
    there = cuda_memory.zeros((5, 7), np.float32, stream=9)
    view = there[1:, ::-1]
    del there
    assert gpu.held
    np.testing.assert_array_equal(cuda_memory.download(view[:, :0]), np.zeros((4, 0)))
    del view
    assert not gpu.held
    assert gpu.calls[-1] == ("cuMemFreeAsync", 9, "context")


def test_memory_isnt_free_before_any_stream_is_done_with_it(gpu):
    there = cuda_memory.zeros((3,), np.float32, stream=2)
    view = there.ordered_in(5)
    del there
    gpu.calls.clear()
    del view
    made = [(name, *(a for a in arguments if isinstance(a, int))) for name, *arguments in gpu.calls]
    assert made == [
        ("cuEventCreate", gpu.CUevent_flags.CU_EVENT_DISABLE_TIMING),
        ("cuEventRecord", 5),
        ("cuStreamWaitEvent", 2, 0),
        ("cuEventDestroy",),
        ("cuMemFreeAsync", 2),
    ]


def test_a_thread_without_a_context(gpu):
    there = cuda_memory.zeros((3,), np.float32)
    gpu.contexts.clear()
    assert cuda_memory.driver().current_device() == 0
    assert gpu.contexts == ["numba's"]
    gpu.contexts.clear()
    del there  # by a thread that has none
    assert gpu.calls[-1] == ("cuMemFreeAsync", 0, "context") and gpu.contexts == []


def test_each_card_has_its_own_staging(gpu, rng):
    a = rng.normal(size=1 << 18)
    for gpu.device in (0, 1, 0):
        np.testing.assert_array_equal(cuda_memory.download(cuda_memory.upload(a)), a)
    assert cuda_memory.driver().staging.cache_info().currsize == 2


def test_what_the_card_reads_by_itself_is_waited_for(gpu):
    a = np.arange(5.0)
    cuda_memory.upload(a, stream=3)
    assert "cuStreamSynchronize" not in [name for name, *_ in gpu.calls]
    gpu.pinned.add(a.ctypes.data)
    cuda_memory.upload(a, stream=3)
    assert ("cuStreamSynchronize", 3) in gpu.calls
    assert cuda_memory.driver().device_of(a.ctypes.data) is None


def test_what_is_no_memory_of_a_gpu(gpu):
    there = cuda_memory.empty((4,), np.float64)
    calls = cuda_memory.driver()
    assert calls.device_of(there.address) == 0
    address = there.address
    del there
    assert calls.device_of(address) is None


def test_too_much_memory(gpu):
    with pytest.raises(MemoryError, match=r"expected 4,294,967,296 bytes of device memory .* got 1,073,741,824 free"):
        cuda_memory.empty((1 << 30,), np.float32)


def test_a_stream_follows_another_without_a_wait(gpu):
    there = cuda_memory.zeros((3,), np.float32, stream=2)
    gpu.calls.clear()
    assert there.ordered_in(5).stream == 5
    assert [call[0] for call in gpu.calls] == ["cuEventCreate", "cuEventRecord", "cuStreamWaitEvent", "cuEventDestroy"]
    assert gpu.calls[1][-1] == 2 and gpu.calls[2][1] == 5


def test_an_error_of_the_driver_is_told(gpu, monkeypatch):
    failing = lambda *_: (Results.CUDA_ERROR_INVALID_VALUE,)
    failing.__name__ = "cuMemcpyAsync"
    monkeypatch.setattr(gpu, "cuMemcpyAsync", failing)
    with pytest.raises(RuntimeError, match="cuMemcpyAsync failed with CUDA_ERROR_INVALID_VALUE"):
        cuda_memory.upload(np.zeros(3))


# The kernels

needs_package = pytest.mark.skipif(not HAS_PACKAGE, reason="numba-cuda isn't installed")


@needs_package
def test_axes_are_joined_where_they_can_be():
    from rnnkit.backends.cuda.memory.elements import joined, span

    assert joined((2, 1, 3, 4), (12, 99, 4, 1), (24, 0, 8, 2)) == ((24,), (1,), (2,))
    assert joined((2, 3, 4), (12, 4, 1), (12, -4, 1)) == ((2, 3, 4), (12, 4, 1), (12, -4, 1))
    assert joined((1, 1), (5, 7)) == ((1,), (1,))
    assert span((3, 4), (-4, 1)) == (-8, 3)


@needs_package
@pytest.mark.skipif(not availability.simulated(), reason="needs NUMBA_ENABLE_CUDASIM=1")
@pytest.mark.parametrize("key", [np.s_[:, ::-1], np.s_[::2, 1:], np.s_[..., 0], np.s_[1:1]], ids=str)
def test_the_kernel_of_copies_is_numpys(monkeypatch, rng, key):
    from rnnkit.backends.cuda.memory import elements
    from rnnkit.backends.cuda.simulator.driver import array_at

    views = []

    def view(address, count, typestr):
        views.append(array_at(address, (count,), typestr))
        return views[-1]

    monkeypatch.setattr(elements, "_view", view)
    a = rng.normal(size=(3, 4, 5)).astype(np.float32)
    part, found = a[key], np.zeros_like(a)
    expected = np.zeros_like(a)
    expected[key] = part
    arguments = part.shape, found[key].strides, part.strides, 4, 0
    elements.launch_move(found[key].ctypes.data, part.ctypes.data, *arguments)
    np.testing.assert_array_equal(found, expected)
    for array in views:  # nothing outside the arrays was in sight
        assert array.ctypes.data + array.nbytes <= max(one.ctypes.data + one.nbytes for one in (a, found))
    b = a[0].copy()
    total, product, half = (np.empty_like(b) for _ in range(3))
    for name, out, second in (("add", total, b), ("multiply", product, b), ("scale", half, np.float32(0.5))):
        other = second.ctypes.data if name != "scale" else second
        elements.launch_pointwise(name, out.ctypes.data, b.ctypes.data, other, b.size, b.dtype, 0)
    for out, wanted in ((total, b + b), (product, b * b), (half, b / 2)):
        np.testing.assert_array_equal(out, wanted)


@needs_package
@pytest.mark.skipif(availability.simulated(), reason="the simulator compiles nothing")
@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
def test_the_kernels_compile(capability):
    from numba import cuda
    from numba.cuda import types as t

    from rnnkit.backends.cuda.memory import elements

    for bits in (t.uint8, t.uint32, t.uint64):
        axes = t.UniTuple(t.int64, 2)
        signature = (bits[::1], bits[::1], t.int64, t.int64, t.int64, axes, axes, axes)
        assert ".entry" in cuda.compile_ptx(elements.move, signature, cc=capability)[0]
    for number, letters in ((t.float32, "f32"), (t.float64, "f64")):
        for function, second in (("add", number[::1]), ("multiply", number[::1]), ("scale", number)):
            signature = (number[::1], number[::1], second)
            text = cuda.compile_ptx(getattr(elements, function), signature, cc=capability)[0]
            assert f"fma.rn.{letters}" not in text
