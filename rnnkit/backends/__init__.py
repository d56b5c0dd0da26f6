"""Backends that run a step: compiled for the CPU or for CUDA, jitted as it stands, or in plain Python."""
