"""One call on a GPU: how it is split, what is launched, and the gradient after it."""
