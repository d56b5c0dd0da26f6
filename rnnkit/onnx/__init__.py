"""Models in the format of ONNX, for other runtimes."""

from __future__ import annotations

from rnnkit.onnx.exporting.export import export

__all__ = ["export"]
