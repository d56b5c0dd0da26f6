"""Compiled programs of the CPU: text over SIMD values, compiled by way of LLVM, run by threads that share a call."""
