"""rnnkit on Dask: layers and models on chunked arrays, and readouts that are fitted a chunk at a time (extra "dask")."""

