"""What the backends have in common: a call's arrays, programs on disk, threads, limits, text."""
