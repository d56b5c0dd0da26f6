"""The global precision, by its old names; mixed precision is an error that says so."""

from __future__ import annotations

from rnnkit.keras.config import dtype_policy, set_dtype_policy
from rnnkit.keras.dtype_policies import DTypePolicy
from rnnkit.keras.left_out import others

Policy = DTypePolicy
global_policy = dtype_policy
set_global_policy = set_dtype_policy

__getattr__ = others("mixed_precision")
