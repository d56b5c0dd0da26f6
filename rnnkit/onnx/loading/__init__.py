"""Reading ONNX files: their operators as layers of a `Model`."""
