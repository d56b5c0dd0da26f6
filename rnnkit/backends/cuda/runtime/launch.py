"""Loading and starting of kernels on a GPU."""

from __future__ import annotations

import ctypes
import threading

from rnnkit.backends.cuda.memory.availability import simulated
from rnnkit.backends.cuda.memory.driver import call, driver


def gpu_kind() -> tuple[int, int]:
    names, device = driver.CUdevice_attribute, call(driver.cuCtxGetDevice)
    major = call(driver.cuDeviceGetAttribute, names.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device)
    return major, call(driver.cuDeviceGetAttribute, names.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device)


class Function:
    """A kernel on the current GPU: the GPU's own code, with the kernel's name in it; under the simulator a function."""

    def __init__(self, code, name: str = ""):
        self._code, self._shared = code, 48 << 10  # bytes of shared memory that any kernel may have
        self._lock = threading.Lock()
        if not simulated():
            self._library = call(driver.cuModuleLoadData, code)
            self._function = call(driver.cuModuleGetFunction, self._library, name.encode())

    def launch(self, blocks, threads, shared: int, stream: int, table: int, together: bool = False) -> None:
        """Start the kernel in the order of a stream, with up to three numbers of blocks and of threads.

        Each block has `shared` bytes of shared memory; `table` is the address of its numbers. If `together`, all blocks
        run at the same time, and may wait for each other.
        """
        blocks, threads = (*blocks, 1, 1)[:3], (*threads, 1, 1)[:3]
        if simulated():
            from rnnkit.backends.cuda.simulator.grid import run

            run(self._code, blocks, threads, shared, table, together)
            return
        with self._lock:
            if shared > self._shared:
                attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
                call(driver.cuFuncSetAttribute, self._function, attribute, shared)
                self._shared = shared
        numbers = (table,), (ctypes.c_int64,)
        if together:
            call(driver.cuLaunchCooperativeKernel, self._function, *blocks, *threads, shared, stream, numbers)
        else:
            call(driver.cuLaunchKernel, self._function, *blocks, *threads, shared, stream, numbers, 0)
