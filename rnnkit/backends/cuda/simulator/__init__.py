"""The same without a card: threads of Python, with the CPU's bits."""
