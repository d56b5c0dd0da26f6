"""rnnkit on Dask: layers, models and forecasters in chunks, readouts and searches (extra "dask")."""

from rnnkit.distributed.readout import fit_readout
from rnnkit.distributed.searching import search

__all__ = ["fit_readout", "search"]
