"""Kernels for CUDA, from the same plan; none of its modules is imported before a layer asks for one."""
