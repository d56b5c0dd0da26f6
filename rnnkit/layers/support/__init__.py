"""What layers share: checks of what a user hands in, display, files, symbolic calls, pullbacks."""
