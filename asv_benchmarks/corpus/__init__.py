"""Recurrences as people write them for numba, one row at a time: one table for tests, asv and `compare`."""

from . import control, detectors, filters, finance, hydrology, neurons, statistics

MODULES = (finance, detectors, statistics, control, hydrology, filters, neurons)
CORPUS = tuple(recurrence for module in MODULES for recurrence in module.RECURRENCES)
