"""The processor that programs are compiled for, as LLVM sees it."""

import llvmlite.binding as llvm

TRIPLE = llvm.get_process_triple()
NAME = llvm.get_host_cpu_name()
try:
    _features = dict(llvm.get_host_cpu_features())
except RuntimeError:  # LLVM doesn't know them everywhere
    _features = {}
FEATURES_PRESENT = frozenset(name for name, there in _features.items() if there)
FEATURES = ",".join(f"{'+' if there else '-'}{name}" for name, there in sorted(_features.items()))
