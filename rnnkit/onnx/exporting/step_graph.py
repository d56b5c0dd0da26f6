"""Graphs of steps or functions of arrays, checked for operations that ONNX lacks."""

from __future__ import annotations

import numpy as np

from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.compiler.ir.graph import Graph, Node, without_codes
from rnnkit.compiler.tracing.batch_axis import Untraceable
from rnnkit.execution import passes, pipeline
from rnnkit.stored_weights import all_expanded


class ReadGraph:
    """A graph, with the values of weights and numbers alone; a ValueError for random draws, with the line.

    `name` is that of the step or the layer, `weights` are arrays by name, and `trained` the names of trainable ones.
    """

    def __init__(self, name: str, dtype, graph: Graph, weights, trained=()):
        self.name, self.dtype, self.graph = name, np.dtype(dtype), without_codes(graph)
        self.live = self.graph.live()
        self.trained = self._under(trained)
        self._refuse_draws()
        outermost = [a for node in self.live if node.batched for a in node.args if not a.batched]
        outermost += [node for node in self.results if not node.batched]
        given = {("weight", name): np.asarray(array) for name, array in weights.items()}
        with np.errstate(all="ignore"):
            self.values = evaluate(outermost, given, self.dtype)

    @property
    def results(self) -> list[Node]:
        """The output and the new states."""
        return [self.graph.output, *self.graph.states]

    def label(self, node: Node) -> str:
        """Return a readable name: the step's variable, the weight's name, or else the operation."""
        name = self.graph.names.get(node.id)
        return name or (str(node.attr) if node.op == "weight" else node.op)

    def refused(self, node: Node, why: str) -> ValueError:
        """Return the error for a node without a form in ONNX."""
        place = f", in the line {node.line!r}" if node.line else ""
        return ValueError(f"{self.name!r} can't be exported to ONNX: {why}{place}")

    def _under(self, names) -> set[int]:
        """Return the ids of the nodes that depend on one of these weights."""
        found: set[int] = set()
        for node in self.live:
            if (node.op == "weight" and node.attr in names) or any(a.id in found for a in node.args):
                found.add(node.id)
        return found

    def _refuse_draws(self):
        for draw in self.live:
            if draw.op == "draw":
                reader = next((node for node in self.live if draw in node.args), None)
                who = f"{reader.op} reads" if reader else "it returns"
                raise self.refused(reader or draw, f"{who} {draw.attr!r}, which is drawn at random for each call")


class StepGraph(ReadGraph):
    """The graph of a step, without the batch axis, for constants of some shapes; an error if it can't be traced."""

    def __init__(self, step, dtype, constant_shapes=(), training=False):
        weights = all_expanded(step.cell._all_weights())
        try:
            graph = passes.read(step, dtype, weights, constant_shapes, training)
        except Untraceable as error:
            told = f"{step.name!r} can't be exported to ONNX, since the tracer can't read its step: "
            raise ValueError(told + pipeline.in_words(error)).with_traceback(error.__traceback__) from None
        except RecursionError:
            raise ValueError(f"expected {step.name!r} short enough to be read as a whole for ONNX") from None
        options = step.cell._weight_options()
        super().__init__(step.name, dtype, graph, weights, [name for name in weights if options[name].trainable])
