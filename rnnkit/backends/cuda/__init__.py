"""Kernels for CUDA, from the same plan; nothing of it is imported before a layer asks for it."""
