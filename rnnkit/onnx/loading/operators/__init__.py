"""The readable ONNX operators, registered on import."""

from rnnkit.onnx.loading.operators import arranging, elementwise, parting, products, recurrent, reducing, scan

__all__ = ["arranging", "elementwise", "parting", "products", "recurrent", "reducing", "scan"]
