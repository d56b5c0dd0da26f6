"""What a report of a fault needs to say about the place it happened in."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sys

EXTRAS = {
    "matplotlib": "plots",
    "tqdm": "progress",
    "narwhals": "tables",
    "pyarrow": "parquet",
    "sktime": "sktime",
    "safetensors": "files",
    "onnx": "onnx",
    "h5py": "keras",
}


def information() -> str:
    """Versions, threads, vector features, the cache of compiled programs, and the extras found; a line each."""
    import numba
    import numpy
    import scipy

    from rnnkit.backends.cpu.simd.registers import FEATURES
    from rnnkit.backends.shared.program_cache import cache_info
    from rnnkit.backends.shared.thread_pool import get_num_threads
    from rnnkit.version import __version__

    cache = cache_info()
    lines = {
        "rnnkit": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        **{module.__name__: module.__version__ for module in (numpy, scipy, numba)},
        "llvmlite": importlib.metadata.version("llvmlite"),
        "threads": get_num_threads(),
        "vectors": FEATURES,
        "cache": f"{cache['folder']}, {cache['programs']} programs, {int(str(cache['bytes'])) / 1e6:.1f} MB, "
        f"{cache['verdict']}",
        **{f"extra {extra}": _version(package) for package, extra in EXTRAS.items()},
    }
    width = max(map(len, lines))
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in lines.items())


def _version(package) -> str:
    if importlib.util.find_spec(package) is None:
        return f"{package} not found"
    return f"{package} {importlib.metadata.version(package)}"
