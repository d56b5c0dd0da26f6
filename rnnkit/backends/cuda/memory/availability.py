"""Tests whether this process can use CUDA, and which of package, driver and GPU is missing if not."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from functools import cache

_PACKAGE = "expected the package numba-cuda, which isn't installed; pip install 'rnnkit[cuda12]' or 'rnnkit[cuda13]'"
_COMPILER = "expected numba-cuda with NVIDIA's compiler, which isn't there; pip install 'rnnkit[cuda12]' brings it"
_DRIVER = "expected NVIDIA's driver, {got}; install the one for this machine's GPU, 525 or newer"
_GPU = "expected an NVIDIA GPU, the driver finds none; look at nvidia-smi and at CUDA_VISIBLE_DEVICES"
_OLD = "expected an NVIDIA GPU of compute capability 7.0 or newer, got {got}"
_FORKED = (
    "expected CUDA to be used by one process, got a child forked from process {parent} after it had used CUDA, which "
    "no child can; start processes with multiprocessing's 'spawn' or 'forkserver', or use CUDA in the children alone"
)

_user: int | None = None  # the process that used CUDA first: its child by fork has its memory, but no context


@dataclass(frozen=True)
class Device:
    """A GPU of this machine.

    Attributes
    ----------
    name : str
    compute_capability : tuple of int
        Major and minor, as (9, 0).
    memory : int
        Bytes, all of them; 0 under numba's simulator, which has none of its own.
    multiprocessors : int

    Examples
    --------
    On a machine with a GPU::

        rk.cuda.devices()[0].name
    """

    name: str
    compute_capability: tuple[int, int]
    memory: int
    multiprocessors: int


def simulated() -> bool:
    """Return whether numba's simulator replaces the GPU, by NUMBA_ENABLE_CUDASIM=1 when numba was imported."""
    from numba import config

    return bool(config.ENABLE_CUDASIM)


def missing() -> str | None:
    """Return what keeps this process from using CUDA, in a sentence; None if nothing does."""
    if _user not in (None, os.getpid()):
        return _FORKED.format(parent=_user)
    if importlib.util.find_spec("numba_cuda") is None:
        return _PACKAGE
    if simulated():
        return None
    try:
        from cuda.bindings import driver

        (error,) = driver.cuInit(0)
    except (ImportError, RuntimeError):
        return _DRIVER.format(got="which can't be loaded")
    if error == driver.CUresult.CUDA_ERROR_NO_DEVICE:
        return _GPU
    if error != driver.CUresult.CUDA_SUCCESS:
        return _DRIVER.format(got=f"which refuses to start with {error.name}")
    if not driver.cuDeviceGetCount()[1]:
        return _GPU
    if all(device.compute_capability < (7, 0) for device in all_devices()):
        return _OLD.format(
            got=", ".join(f"{d.name} of {'.'.join(map(str, d.compute_capability))}" for d in all_devices())
        )
    return None if _compiles() else _COMPILER


def _compiles() -> bool:
    """Return whether numba finds the libraries that compile for a GPU, which come with the extra."""
    from numba import cuda

    return cuda.is_available()


def require() -> None:
    """Refuse to go on where CUDA can't be used; from here on this process is the one that uses it.

    Raises
    ------
    RuntimeError
        That says which of package, driver and GPU is missing, or that the process is a fork, and what to do.

    Examples
    --------
    On a machine without a GPU this is an error that says what is missing::

        rk.cuda.require()
    """
    global _user
    if _user == os.getpid():
        return
    if found := missing():
        raise RuntimeError(found)
    _user = os.getpid()


def driver():
    """Return the driver's calls, or the simulator's; a RuntimeError where CUDA can't be used."""
    require()
    return _calls()


@cache
def _calls():
    if simulated():
        from rnnkit.backends.cuda.simulator import driver as simulator

        return simulator
    from rnnkit.backends.cuda.memory import driver as gpu

    return gpu


def all_devices() -> list[Device]:
    """Return the GPUs, in the order of their numbers."""
    if simulated():
        from numba import cuda

        return [Device("numba's simulator", tuple(cuda.get_current_device().compute_capability), 0, 1)]
    from cuda.bindings import driver

    attributes = driver.CUdevice_attribute
    wanted = (
        attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
        attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
        attributes.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
    )
    found = []
    for number in range(driver.cuDeviceGetCount()[1]):
        device = driver.cuDeviceGet(number)[1]
        name = driver.cuDeviceGetName(256, device)[1].split(b"\0")[0].decode()
        major, minor, multiprocessors = (driver.cuDeviceGetAttribute(one, device)[1] for one in wanted)
        found.append(Device(name, (major, minor), int(driver.cuDeviceTotalMem(device)[1]), multiprocessors))
    return found
