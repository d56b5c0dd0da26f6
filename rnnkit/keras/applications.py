"""Left out: every name in it is an error that says what to do."""

from rnnkit.keras.left_out import others

__getattr__ = others("applications")
