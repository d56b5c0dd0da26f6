"""ONNX models made in a test, and what runs them: onnxruntime, or onnx's reference evaluator."""

import functools
import importlib
import pathlib
import tempfile
import warnings

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper

from rnnkit.onnx.loading.load import read

TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int64": TensorProto.INT64}
TYPES |= {"int32": TensorProto.INT32, "bool": TensorProto.BOOL}


def info(name, dtype, shape):
    return helper.make_tensor_value_info(name, TYPES[np.dtype(dtype).name], shape)


def model_of(nodes, inputs, outputs, initializers=None, opset=17):
    """A model; `inputs` are (name, dtype, shape), `outputs` names, `initializers` arrays by name."""
    graph = helper.make_graph(
        nodes,
        "test",
        [info(*one) for one in inputs],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (initializers or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    return model


def node(op, inputs, outputs, **attributes):
    outputs = [outputs] if isinstance(outputs, str) else outputs
    return helper.make_node(op, inputs, outputs, **{"name": f"{op.lower()}_{outputs[0]}"} | attributes)


def run_onnxruntime(model, feeds):
    """The outputs of onnxruntime, in one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def loaded(model, **options):
    """What `read` gives for a model."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.onnx")
        path.write_bytes(model.SerializeToString())
        return read(path, **options)


def outputs_of(found, feeds):
    """The outputs of a loaded model, for feeds as ONNX has them and with ONNX's axes."""
    more = () if found.batched else (None,)
    given = [np.ascontiguousarray(feeds[name].transpose(order)[more]) for name, order in found.inputs.items()]
    results = found.model(given if len(given) > 1 else given[0])
    results = results if isinstance(results, list) else [results]
    results = results if found.batched else [one[0] for one in results]
    return [one.transpose(np.argsort(order)) for one, order in zip(results, found.outputs.values(), strict=True)]


def check(model, feeds, tolerance=1e-5, run=run_onnxruntime, **options):
    """The loaded model gives what another program gives; returns it."""
    found = loaded(model, **options)
    expected = run(model, feeds)
    got = outputs_of(found, feeds)
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape, (one.shape, other.shape)
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    return found


@functools.cache
def node_cases():
    """The cases of onnx's own tests of nodes, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("lstm", "gru", "rnn", "scan"):  # importing a module makes its cases
            importlib.import_module(f"onnx.backend.test.case.node.{name}")
    from onnx.backend.test.case import node as cases

    return {case.name: case for case in cases._NodeTestCases}
