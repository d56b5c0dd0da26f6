"""`FORMULAS`, complete once every file of formulas has registered its own."""

from rnnkit.backends.formulas import division, error_function, exponential, powers, special, trigonometry, value  # noqa: F401
from rnnkit.backends.formulas.registry import FORMULAS, arity  # noqa: F401
