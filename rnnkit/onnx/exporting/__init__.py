"""Export of layers to files in the format of ONNX."""
