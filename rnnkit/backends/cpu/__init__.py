"""Compiled programs of the CPU: text for numba over SIMD values, run by threads that share a call."""
