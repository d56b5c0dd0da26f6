"""What export and load both know of the ONNX format."""
