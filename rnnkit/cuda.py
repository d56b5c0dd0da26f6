"""NVIDIA's GPUs: ``rk.cuda.is_available()``, ``rk.cuda.devices()``.

Nothing of CUDA is imported before one of these is called, or a layer is made for it.
"""

from __future__ import annotations

from rnnkit.backends.cuda.memory.array import DeviceArray
from rnnkit.backends.cuda.memory.availability import Device, all_devices, missing, require

__all__ = ["Device", "DeviceArray", "devices", "is_available", "require"]


def is_available() -> bool:
    """Return whether layers can run with ``device="cuda"`` in this process; also True under numba's simulator.

    Returns
    -------
    bool

    Examples
    --------
    >>> import rnnkit as rk
    >>> device = "cuda" if rk.cuda.is_available() else "cpu"
    """
    try:
        return missing() is None
    except Exception:  # of a broken installation, whose use raises it again
        return False


def devices() -> list[Device]:
    """Return the GPUs of this machine, the one that layers use first unless a library has chosen another.

    Returns
    -------
    list of Device
        Each with its name, compute capability, memory in bytes and number of multiprocessors.

    Raises
    ------
    RuntimeError
        If the package, the driver or a GPU is missing, or the process is a fork of one that used CUDA.

    Examples
    --------
    On a machine with a GPU::

        for device in rk.cuda.devices():
            print(device.name, device.memory)
    """
    require()
    return all_devices()
