"""Threads that share a call by rows or by units, and the memory that they are lent."""
