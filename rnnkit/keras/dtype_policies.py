"""Precisions as objects: a policy has one name, and float32 or float64 behind it."""

from __future__ import annotations

from rnnkit.keras.left_out import others
from rnnkit.keras.settings import precision


class DTypePolicy:
    """The precision of a layer.

    Parameters
    ----------
    name : {"float32", "float64"}

    Raises
    ------
    ValueError
        For another precision, such as "mixed_float16".
    """

    def __init__(self, name="float32", source_name=None):
        self.name = self.compute_dtype = self.variable_dtype = precision(name)

    def get_config(self) -> dict:
        """Return the constructor's argument."""
        return {"name": self.name}

    def __eq__(self, other):
        return isinstance(other, DTypePolicy) and other.name == self.name

    def __hash__(self):
        return hash(self.name)

    def __repr__(self):
        return f'<DTypePolicy "{self.name}">'


FloatDTypePolicy = DTypePolicy


def get(identifier) -> DTypePolicy:
    """Return the policy that an argument stands for."""
    return identifier if isinstance(identifier, DTypePolicy) else DTypePolicy(identifier)


deserialize = get


def serialize(policy: DTypePolicy) -> dict:
    """Return a policy as JSON values."""
    return policy.get_config()


__getattr__ = others("dtype_policies")
