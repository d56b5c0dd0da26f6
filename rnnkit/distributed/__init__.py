"""rnnkit on Dask: layers, models and forecasters in chunks, fits, readouts and searches (extra "dask")."""

from rnnkit.distributed.readout import fit_readout
from rnnkit.distributed.searching import search
from rnnkit.distributed.training import Traffic

__all__ = ["Traffic", "fit_readout", "search"]
