"""Reading of ONNX files, without running code, with arrays no larger than the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit.onnx.format.package import DTYPES, onnx_package

_DOMAINS = ("", "ai.onnx")
_FREE = 1 << 22  # numbers allowed in constants of a small file
MOST_NODES = 100_000  # of all graphs in a file


class OnnxFile:
    """The model in a file, its opset, and the size in bytes, including external data files."""

    def __init__(self, path):
        self.onnx = onnx_package()
        self.path = Path(path)
        if self.path.exists() and not self.path.is_file() and not self.path.is_dir():
            raise ValueError("expected a file on disk, got a device or a pipe, which may have no end")
        data = self.path.read_bytes()
        try:
            model = self.onnx.ModelProto.FromString(data)
        except Exception as error:  # protobuf's own error has different classes in its versions
            raise ValueError(f"expected an ONNX model; it can't be parsed ({error})") from None
        if not model.HasField("graph") or not model.graph.node:
            raise ValueError("expected an ONNX model with nodes, got none")
        versions = {entry.domain: entry.version for entry in model.opset_import if entry.domain in _DOMAINS}
        if not versions:
            raise ValueError("expected an ONNX model that names its opset")
        self.graph, self.opset = model.graph, max(versions.values())
        _check_nodes(model.graph)
        self.size = len(data)
        self._beside: set[Path] = set()
        self._read = 0  # bytes read of external data
        self._functions = {function.name for function in model.functions}
        self._left = max(_FREE, len(data))

    def spend(self, count: int) -> None:
        """Count the numbers of a constant that isn't in the file; a ValueError beyond the limit for the file's size."""
        self._left -= int(count)
        if self._left < 0:
            raise ValueError("expected constants about as large as the file, got more")

    def check_operator(self, proto) -> None:
        """Raise a ValueError for operators that aren't ONNX's own, or a wrong number of inputs."""
        if proto.domain not in _DOMAINS:
            raise ValueError(f"expected operators of ONNX's own domain, got one of {proto.domain!r}")
        if proto.op_type in self._functions and not proto.domain:
            raise ValueError("expected operators without functions of the model")
        try:
            schema = self.onnx.defs.get_schema(proto.op_type, self.opset, "")
        except self.onnx.defs.SchemaError:
            raise ValueError(f"expected an operator of ONNX's opset {self.opset}") from None
        given = len(proto.input)
        if not schema.min_input <= given <= schema.max_input:
            raise ValueError(f"expected {schema.min_input} to {schema.max_input} inputs, got {given}")
        for formal, name in zip(schema.inputs, proto.input, strict=False):
            if not name and formal.option == self.onnx.defs.OpSchema.FormalParameterOption.Single:
                raise ValueError(f"expected the input {formal.name!r}, got none")

    def array(self, tensor) -> np.ndarray:
        """Return the numbers of a tensor; a ValueError for an unsupported type, or too few numbers."""
        if tensor.data_type not in DTYPES:
            name = self.onnx.TensorProto.DataType.Name(tensor.data_type) if tensor.data_type else "none"
            raise ValueError(f"expected float, double, integers or bool in {tensor.name!r}, got {name}")
        if tensor.HasField("segment"):
            raise ValueError(f"expected the whole of {tensor.name!r}, got a segment")
        count = 1
        for size in tensor.dims:
            if size < 0:
                raise ValueError(f"expected sizes that are not negative in {tensor.name!r}")
            count *= size
        if tensor.data_location == self.onnx.TensorProto.EXTERNAL:
            tensor = self._with_external(tensor, count)
        found = self.onnx.numpy_helper.to_array(tensor)
        if found.dtype.kind == "i" or found.dtype.kind == "u":
            found = found.astype(np.int64)
        return found

    def _with_external(self, tensor, count):
        """Return a copy of a tensor that holds its data from another file in the same folder."""
        said = {entry.key: entry.value for entry in tensor.external_data}
        folder = self.path.resolve().parent
        place = Path(os.path.realpath(folder / said.get("location", "")))
        if not said.get("location") or folder not in place.parents or not place.is_file():
            raise ValueError(f"expected external data in a file beside the model, got {said.get('location')!r}")
        offset, needed = int(said.get("offset", 0)), count * np.dtype(DTYPES[tensor.data_type]).itemsize
        length = int(said.get("length", needed))
        if offset < 0 or length != needed or offset + needed > place.stat().st_size:
            raise ValueError(f"expected {needed} bytes of external data for {tensor.name!r} in {place.name}")
        if place not in self._beside:
            self._beside.add(place)
            self.size += place.stat().st_size
        self._read += needed
        if self._read > self.size:
            raise ValueError(f"expected external data that is read once, got {tensor.name!r} from where others are")
        copy = self.onnx.TensorProto()
        copy.CopyFrom(tensor)
        del copy.external_data[:]
        copy.data_location = self.onnx.TensorProto.DEFAULT
        with open(place, "rb") as file:
            file.seek(offset)
            copy.raw_data = file.read(needed)
        return copy

    def attribute(self, proto) -> Any:
        """Return an attribute as a number, text, list, array or graph."""
        kinds = self.onnx.AttributeProto
        if proto.type == kinds.TENSOR:
            return self.array(proto.t)
        if proto.type == kinds.GRAPH:
            return proto.g
        if proto.type == kinds.STRING:
            return proto.s.decode("utf-8", "replace")
        if proto.type == kinds.STRINGS:
            return [one.decode("utf-8", "replace") for one in proto.strings]
        if proto.type in (kinds.FLOAT, kinds.INT):
            return proto.f if proto.type == kinds.FLOAT else proto.i
        if proto.type in (kinds.FLOATS, kinds.INTS):
            return list(proto.floats if proto.type == kinds.FLOATS else proto.ints)
        raise ValueError(f"expected the attribute {proto.name!r} as numbers, text, a tensor or a graph")


def _check_nodes(graph) -> None:
    """Raise a ValueError for more nodes than can be read in a reasonable time."""
    left, graphs = MOST_NODES, [graph]
    while graphs:
        graph = graphs.pop()
        left -= len(graph.node) + len(graph.input)
        if left < 0:
            raise ValueError(f"expected at most {MOST_NODES:,} nodes and inputs, got more")
        graphs += [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
