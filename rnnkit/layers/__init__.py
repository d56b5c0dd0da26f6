"""What a user holds: layers, which check, normalize, run and shape."""
