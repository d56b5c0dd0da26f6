"""Parts common to the backends: a call's arrays, programs on disk, threads, limits, text."""
