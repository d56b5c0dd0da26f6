"""What several forecasters need: seasons, scales, readouts, windows, held-out ends."""
