"""What a user holds: layers, which check, normalise, run and shape."""
