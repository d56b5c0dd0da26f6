"""Arrays in a card's memory, those of other libraries too, and the driver below them."""
