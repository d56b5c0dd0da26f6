"""From layers to a file in the format of ONNX."""
