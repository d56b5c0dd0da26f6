"""Recurrences as people write them for numba, one row at a time: one table for tests, asv and `compare`."""

from . import (
    control,
    detectors,
    dynamic_programming,
    dynamics,
    filters,
    finance,
    hydrology,
    learning,
    network,
    neurons,
    simulation,
    statistics,
)

MODULES = (
    finance,
    detectors,
    statistics,
    control,
    hydrology,
    filters,
    neurons,
    dynamics,
    dynamic_programming,
    learning,
    simulation,
    network,
)
CORPUS = tuple(recurrence for module in MODULES for recurrence in module.RECURRENCES)
