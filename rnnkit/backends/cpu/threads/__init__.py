"""Threads that share a call by rows or by units, and the pool of large buffers."""
