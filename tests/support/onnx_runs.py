"""Layers and models written by ``rk.onnx.export``, checked by onnx and run in ONNX Runtime."""

import os
import tempfile
from functools import cache

import numpy as np
from cells_under_test import CELLS
from matrix import flat, make_mask
from paper_cells import PAPER_CELLS, PaperCell

import rnnkit as rk

BOUNDS = {"float32": 1e-5, "float64": 1e-10}
STEPS = 200
UNITS, FEATURES = 17, 5


class Exported:
    """A model in ONNX Runtime.

    Attributes
    ----------
    model : onnx.ModelProto
        As it was read from the file.
    inputs, outputs : list of str
    """

    def __init__(self, layer, **options):
        import onnx
        import onnxruntime

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.onnx")
            rk.onnx.export(layer, path, **options)
            with open(path, "rb") as file:
                self.bytes = file.read()
        self.model = onnx.load_from_string(self.bytes)
        onnx.checker.check_model(self.model, full_check=True)
        self._all_is_read()
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        settings.log_severity_level = 2
        self.session = onnxruntime.InferenceSession(self.bytes, settings, providers=["CPUExecutionProvider"])
        self.inputs = [one.name for one in self.session.get_inputs()]
        self.outputs = [one.name for one in self.session.get_outputs()]

    def _all_is_read(self):
        """No node and no array is there for nothing."""
        graphs = list(graphs_in(self.model.graph))
        read = {name for graph in graphs for node in graph.node for name in node.input}
        read |= {one.name for graph in graphs for one in graph.output}
        held = {one.name for graph in graphs for one in graph.initializer}
        assert held <= read, held - read
        unread = [node.name for graph in graphs for node in graph.node if read.isdisjoint(node.output)]
        assert not unread, unread

    def __call__(self, *arrays, **named):
        """The outputs for the inputs, in order or by name."""
        given = dict(zip(self.inputs, arrays, strict=False)) | named
        return self.session.run(None, given)

    def operators(self) -> list[str]:
        """The operators of the model's own graph, in order."""
        return [node.op_type for node in self.model.graph.node]


def graphs_in(graph):
    """A graph, and the bodies of the loops in it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs_in(attribute.g)


def near(got, expected, scale=1.0):
    """Equal to the bound of the dtype, relative to each array's largest value."""
    got, expected = flat(list(got)), flat(expected if isinstance(expected, np.ndarray) else list(expected))
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype, f"{a.shape} {a.dtype} against {b.shape} {b.dtype}"
        bound = scale * BOUNDS[b.dtype.name] * max(1.0, np.abs(b[np.isfinite(b)]).max(initial=0.0))
        np.testing.assert_allclose(a, b, rtol=0, atol=bound)


class Run:
    """A cell under test, or one of a paper, exported with all that it has and run beside the layer.

    The layer runs as plain Python, so that nothing is compiled for it.
    """

    def __init__(self, case, dtype, steps=STEPS, batch=3, **options):
        rng = np.random.default_rng(6)
        self.case, self.dtype = case, dtype
        features = case.features if isinstance(case, PaperCell) else (FEATURES,)
        cell = case.make() if isinstance(case, PaperCell) else case.make(UNITS)
        options = {"return_sequences": True, "return_state": True, **options}
        self.layer = rk.RNN(cell, dtype=dtype, seed=7, **options)
        with rk.eager():
            self.layer.build((None, None, *features))
        self.x = rng.normal(size=(batch, steps, *features)).astype(dtype)
        self.constants = [rng.normal(size=(batch, *shape)).astype(dtype) for shape in case.constants]
        self.mask = make_mask("random", batch, steps, rng)

    def exported(self, mask=True, **options):
        constants = list(self.case.constants) if self.constants else None
        return Exported(self.layer, mask=mask, constants=constants, **options)

    def expected(self, mask=True):
        with rk.eager(), np.errstate(all="ignore"):
            return self.layer(self.x, mask=self.mask if mask else None, constants=self.constants or None)

    def got(self, exported, mask=True):
        return exported(self.x, *([self.mask] if mask else []), *self.constants)


@cache
def exported_to_onnx(case, dtype="float64") -> str:
    """What becomes of a cell in ONNX: "equal" over 200 steps, or why not."""
    run = Run(case, dtype)
    try:
        exported = run.exported()
    except ValueError as error:
        return str(error)
    try:
        near(run.got(exported), run.expected())
    except AssertionError as error:
        return " ".join(str(error).split())
    return "equal"


def table(dtype="float64") -> dict[str, str]:
    """`exported_to_onnx` of every cell under test and of every paper's, by name."""
    return {case.name: exported_to_onnx(case, dtype) for case in (*CELLS, *PAPER_CELLS)}
