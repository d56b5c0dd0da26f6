"""SIMD values and what programs do with them: kinds, registers, loads and stores, functions, atomic words."""
