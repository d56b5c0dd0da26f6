"""Parts shared by forecasters: seasons, scales, readouts, windows, held-out ends."""
