"""rnnkit on Dask: layers and models on chunked arrays, fits, and readouts fitted a chunk at a time (extra "dask")."""

from rnnkit.distributed.readout import fit_readout
from rnnkit.distributed.training import Traffic

__all__ = ["Traffic", "fit_readout"]
