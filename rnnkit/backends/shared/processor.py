"""The processor that programs are compiled for: as LLVM sees it, and its second-level cache."""

import pathlib
from functools import cache

import llvmlite.binding as llvm

TRIPLE = llvm.get_process_triple()
NAME = llvm.get_host_cpu_name()
try:
    _features = dict(llvm.get_host_cpu_features())
except RuntimeError:  # LLVM doesn't know them everywhere
    _features = {}
FEATURES_PRESENT = frozenset(name for name, there in _features.items() if there)
FEATURES = ",".join(f"{'+' if there else '-'}{name}" for name, there in sorted(_features.items()))

CACHES = pathlib.Path("/sys/devices/system/cpu/cpu0/cache")  # Linux's description
USUAL_CACHE = 1 << 20  # bytes


@cache
def second_level_cache() -> int:
    """Return a processor's share of the second-level cache in bytes; `USUAL_CACHE` where the system doesn't say."""
    for level in CACHES.glob("index*/level"):
        try:
            if int(level.read_text()) == 2:
                size = level.with_name("size").read_text().strip()
                sharing = bin(int(level.with_name("shared_cpu_map").read_text().replace(",", ""), 16)).count("1")
                return int(size.removesuffix("K")) * 1024 // max(1, sharing)
        except (OSError, ValueError):
            continue
    return USUAL_CACHE
