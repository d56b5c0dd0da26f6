"""Kernels without a GPU: threads of Python, with the CPU's bits."""
