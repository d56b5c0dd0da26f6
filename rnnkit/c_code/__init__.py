"""C99 source text of built layers and models: their plans as plain loops, without a library but math.h."""
