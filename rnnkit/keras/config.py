"""Keras's settings, as far as something depends on them."""

from __future__ import annotations

from rnnkit.keras.left_out import left_out
from rnnkit.keras.settings import epsilon, floatx, set_epsilon, set_floatx
from rnnkit.keras.utils import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
)
from rnnkit.version import __version__

__all__ = [
    "backend",
    "disable_interactive_logging",
    "disable_traceback_filtering",
    "dtype_policy",
    "enable_interactive_logging",
    "enable_traceback_filtering",
    "enable_unsafe_deserialization",
    "epsilon",
    "floatx",
    "image_data_format",
    "is_interactive_logging_enabled",
    "is_traceback_filtering_enabled",
    "set_backend",
    "set_dtype_policy",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
]


def version() -> str:
    """rnnkit's version."""
    return __version__


def backend() -> str:
    """``"rnnkit"``."""
    return "rnnkit"


def set_backend(name) -> None:
    """Nothing for "rnnkit"; an error for another one."""
    if name != "rnnkit":
        raise ValueError(f"expected the backend 'rnnkit', which these names stand on, got {name!r}; use Keras itself")


def dtype_policy():
    """The policy of layers that are given none."""
    from rnnkit.keras.dtype_policies import DTypePolicy

    return DTypePolicy(floatx())


def set_dtype_policy(policy) -> None:
    """Set the precision of layers that are made from here on, "float32" or "float64"."""
    set_floatx(policy)


def image_data_format() -> str:
    """``"channels_last"``."""
    return "channels_last"


def set_image_data_format(data_format) -> None:
    """Nothing for "channels_last"; an error for another one."""
    if data_format != "channels_last":
        raise ValueError(f"expected 'channels_last', got {data_format!r}; move the axis: np.moveaxis(x, 1, -1)")


def enable_unsafe_deserialization() -> None:
    """Nothing: loading executes nothing that a file holds."""


def enable_traceback_filtering() -> None:
    """Nothing: errors are raised where arguments are read."""


disable_traceback_filtering = enable_traceback_filtering


def is_traceback_filtering_enabled() -> bool:
    """False."""
    return False


def __getattr__(name: str):
    return left_out("config", name)
