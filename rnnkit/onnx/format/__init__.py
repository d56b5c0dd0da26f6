"""Parts of the ONNX format that export and load share."""
