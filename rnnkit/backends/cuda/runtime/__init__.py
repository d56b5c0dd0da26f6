"""One call on a GPU: how its work is split and launched, and its gradient."""
