"""The language in which programs and kernels are written, a small part of Python, and how it becomes machine code."""
