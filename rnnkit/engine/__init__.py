"""Programs and arrays to arrays: SIMD values, kernels, threads, and the three ways to run a step over time."""
