"""Left out: every name in it is an error that says what to do."""

from __future__ import annotations

from rnnkit.keras.left_out import left_out


def __getattr__(name: str):
    return left_out("applications", name)
