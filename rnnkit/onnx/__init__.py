"""Models in the Open Neural Network Exchange format: `export` writes ONNX files."""

from rnnkit.onnx.exporting.export import export

__all__ = ["export"]
