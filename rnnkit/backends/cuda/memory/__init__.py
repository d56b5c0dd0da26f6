"""Arrays in a GPU's memory, those of other libraries too, and the driver below them."""
