"""Recurrences as people write them for numba, one row at a time: one table for tests, asv and `compare`."""

from . import finance

MODULES = (finance,)
CORPUS = tuple(recurrence for module in MODULES for recurrence in module.RECURRENCES)
