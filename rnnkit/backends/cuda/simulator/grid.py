"""A kernel's blocks under numba's CUDA simulator: a thread of Python for each of their threads.

numba's own launch looks at its threads again and again while they wait for each other, and has one block at a time, so
that no block can wait for another.
"""

from __future__ import annotations

import itertools
import threading
import warnings

import numpy as np
from numba.cuda.simulator.kernelapi import Dim3, FakeCUDAModule, FakeCUDAShared, swapped_cuda_module


class _Module(FakeCUDAModule):
    @property
    def shared(self):
        return threading.current_thread().block.shared  # type: ignore[attr-defined]  # a `_Thread`


class _Shared(FakeCUDAShared):
    def __init__(self, shared):
        super().__init__(shared)
        self._dynshared[:] = 0x7F  # its content is undefined on a GPU

    def array(self, shape, dtype, alignment=None):
        return super().array(shape, dtype)


class _Block:
    def __init__(self, place, threads, shared_bytes):
        self.place = Dim3(*place)
        self.beside: list[_Block] = [self]  # that run at the same time
        self.barrier = threading.Barrier(int(np.prod(threads)))
        self.shared = _Shared(shared_bytes)


class _Thread(threading.Thread):
    def __init__(self, kernel, table, block, place):
        super().__init__(daemon=True)
        self.kernel, self.table, self.block = kernel, table, block
        self.blockIdx, self.threadIdx = block.place, Dim3(*place)
        self.error: BaseException | None = None

    def run(self):
        try:
            self.kernel(self.table)
        except BaseException as error:
            self.error = error
            for block in self.block.beside:
                block.barrier.abort()

    def syncthreads(self):
        self.block.barrier.wait()


def run(kernel, blocks, threads, shared: int, table: int, together: bool) -> None:
    function = kernel.py_func
    module = _Module(blocks, threads, shared)
    everywhere = [_Block(place[::-1], threads, shared) for place in itertools.product(*map(range, blocks[::-1]))]
    places = [place[::-1] for place in itertools.product(*map(range, threads[::-1]))]
    with swapped_cuda_module(function, module), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for some in [everywhere] if together else [[block] for block in everywhere]:
            for block in some:
                block.beside = some
            started = [_Thread(function, table, block, place) for block in some for place in places]
            for thread in started:
                thread.start()
            for thread in started:
                thread.join()
            errors = [thread.error for thread in started if thread.error is not None]
            told = [error for error in errors if not isinstance(error, threading.BrokenBarrierError)]
            if errors:
                raise (told or errors)[0]
