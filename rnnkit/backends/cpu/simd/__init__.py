"""SIMD values as types of numba: registers, loads and stores, functions, atomic words."""
