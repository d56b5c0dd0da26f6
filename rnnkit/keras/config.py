"""Keras's settings, as far as rnnkit has them."""

from __future__ import annotations

from rnnkit.keras.naming import gathered
from rnnkit.keras.settings import floatx, set_floatx
from rnnkit.version import __version__


def version() -> str:
    """Return rnnkit's version."""
    return __version__


def backend() -> str:
    """Return ``"rnnkit"``."""
    return "rnnkit"


def set_backend(name) -> None:
    """Accept "rnnkit"; raise an error for another backend."""
    if name != "rnnkit":
        raise ValueError(f"expected the backend 'rnnkit', which these names stand on, got {name!r}; use Keras itself")


def dtype_policy():
    """Return the policy of layers that are given none."""
    from rnnkit.keras.dtype_policies import DTypePolicy

    return DTypePolicy(floatx())


def set_dtype_policy(policy) -> None:
    """Set the precision of layers that are made from here on, "float32" or "float64"."""
    set_floatx(policy)


def image_data_format() -> str:
    """Return ``"channels_last"``."""
    return "channels_last"


def set_image_data_format(data_format) -> None:
    """Accept "channels_last"; raise an error for another format."""
    if data_format != "channels_last":
        raise ValueError(f"expected 'channels_last', got {data_format!r}; move the axis: np.moveaxis(x, 1, -1)")


def enable_unsafe_deserialization() -> None:
    """Do nothing: loading never executes code from a file."""


def enable_traceback_filtering() -> None:
    """Do nothing: errors are raised where arguments are read."""


disable_traceback_filtering = enable_traceback_filtering


def is_traceback_filtering_enabled() -> bool:
    """Return False."""
    return False


_LOGGING = "disable_interactive_logging enable_interactive_logging is_interactive_logging_enabled"
_PLACES = {"rnnkit.keras.settings": "epsilon set_epsilon", "rnnkit.keras.utils": _LOGGING}
__getattr__, __dir__ = gathered("config", _PLACES)
