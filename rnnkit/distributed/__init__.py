"""rnnkit on Dask: layers and models on chunked arrays, and readouts fitted a chunk at a time (extra "dask")."""

from rnnkit.distributed.readout import fit_readout

__all__ = ["fit_readout"]
