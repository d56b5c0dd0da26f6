"""Sequences for models; images are left out, and text is for other libraries."""

from __future__ import annotations

from rnnkit.keras.left_out import others
from rnnkit.keras.preprocessing import sequence
from rnnkit.sequences.windows import timeseries_dataset_from_array

__all__ = ["sequence", "timeseries_dataset_from_array"]

__getattr__ = others("preprocessing")
