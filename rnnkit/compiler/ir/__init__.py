"""The graph of a step and its plan: operations, buffers and stages, and what they mean in NumPy."""
