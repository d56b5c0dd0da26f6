"""One call on a card: how it is cut, what is launched, and the gradient after it."""
