"""Versions and settings of an installation, for reports of faults."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from pathlib import Path

EXTRAS = {
    "plots": ("matplotlib",),
    "progress": ("tqdm",),
    "tensorboard": ("tensorboardX", "pillow"),
    "tables": ("narwhals",),
    "parquet": ("pyarrow",),
    "onnx": ("onnx",),
    "keras": ("h5py",),
    "sklearn": ("scikit-learn",),
    "dask": ("dask", "distributed", "zarr"),
    "sktime": ("sktime",),
    "cuda": ("numba-cuda",),
}
OTHERS = ("pandas", "polars", "xarray", "onnxruntime", "torch", "keras", "jax", "cupy", "ipython")
VARIABLES = ("RNNKIT_", "NUMBA_", "OMP_", "MKL_", "OPENBLAS_", "CUDA_VISIBLE_DEVICES", "KERAS_BACKEND")


def information() -> str:
    """Return the versions, processor, threads, cache, CUDA, extras and settings, one per line."""
    from rnnkit.backends.cpu.simd.registers import FEATURES
    from rnnkit.backends.shared.program_cache import cache_info
    from rnnkit.backends.shared.thread_pool import get_num_threads
    from rnnkit.version import __version__

    cache = cache_info()
    found = {package: version for package in OTHERS if (version := _version(package))}
    lines = {
        "rnnkit": __version__,
        "installed in": Path(__file__).parents[1],
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "processor": f"{_processor()}, {_cores()}",
        **{package: _version(package) for package in ("numpy", "scipy", "numba", "llvmlite")},
        "threads": get_num_threads(),
        "vectors": FEATURES,
        "cache": f"{cache['folder']}, {cache['programs']} programs, {int(str(cache['bytes'])) / 1e6:.1f} MB, "
        f"{cache['verdict']}",
        "cuda": _cuda(),
        **{f"extra {extra}": ", ".join(map(_described, packages)) for extra, packages in EXTRAS.items()},
        "also installed": ", ".join(f"{package} {version}" for package, version in found.items()) or "nothing",
        "environment": ", ".join(f"{name}={value}" for name, value in _settings().items()) or "nothing set",
    }
    width = max(map(len, lines))
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in lines.items())


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _described(package: str) -> str:
    return f"{package} {_version(package) or 'not found'}"


def _processor() -> str:
    """Return the processor's model, which only Linux reports in a file."""
    try:
        described = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        described = ""
    names = (line.partition(":")[2].strip() for line in described.splitlines() if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _cores() -> str:
    """Return the number of cores that this process may use, and of those in the machine."""
    there = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    return f"{usable} of {there} cores usable"


def _cuda() -> str:
    """Return the GPUs, or the reason why this process can't use one."""
    from rnnkit.backends.cuda.memory.availability import all_devices, missing

    try:
        reason = missing()
        if reason is None:
            return ", ".join(f"{one.name} {one.compute_capability}" for one in all_devices())
    except Exception as error:  # a report tells of a broken installation too
        return f"{type(error).__name__}: {error}"
    return f"no: {reason}"


def _settings() -> dict[str, str]:
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(VARIABLES)}
