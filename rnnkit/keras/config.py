"""Keras's settings, as far as something depends on them."""

from __future__ import annotations

from rnnkit.keras.naming import gathered
from rnnkit.keras.settings import floatx, set_floatx
from rnnkit.version import __version__


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


_LOGGING = "disable_interactive_logging enable_interactive_logging is_interactive_logging_enabled"
_PLACES = {"rnnkit.keras.settings": "epsilon set_epsilon", "rnnkit.keras.utils": _LOGGING}
__getattr__, __dir__ = gathered("config", _PLACES)
