"""Models in the Open Neural Network Exchange format: `export` writes ONNX files, `load` reads them."""

from rnnkit.onnx.exporting.export import export
from rnnkit.onnx.loading.load import load

__all__ = ["export", "load"]
