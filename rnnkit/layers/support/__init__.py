"""Parts that layers share: checks of arguments, display, files, symbolic calls, pullbacks."""
