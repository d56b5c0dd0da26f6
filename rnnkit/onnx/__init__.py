"""Models in the Open Neural Network Exchange format: `load` reads an ONNX file as a `rnnkit.Model`."""

from rnnkit.onnx.loading.load import load

__all__ = ["load"]
