"""The ONNX operators that can be read, registered by importing this package."""

from rnnkit.onnx.loading.operators import arranging, elementwise, parting, products, recurrent, reducing, scan, sizes

__all__ = ["arranging", "elementwise", "parting", "products", "recurrent", "reducing", "scan", "sizes"]
