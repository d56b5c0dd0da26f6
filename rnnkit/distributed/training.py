"""Synchronous training on Dask: tasks compute the gradients of parts and their sum, the optimizer runs here."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rnnkit.distributed import updates
from rnnkit.distributed.graphs import Ref
from rnnkit.distributed.schedulers import Graph, Held, Meanwhile, Tasks
from rnnkit.distributed.updates import ShippedStepper, Weights
from rnnkit.layers.support.layer_tree import arrays_by_name
from rnnkit.training.parts import PartedStepper
from rnnkit.training.pieces import Summand
from rnnkit.training.tally import Tally

_ARITY = 8  # summands per task; a power of two keeps the pairing of a single sum
_ASK = 1.0  # seconds between queries of the number of workers


@dataclass
class Traffic:
    """Amounts of data moved and time spent by a fit on Dask; ``history.traffic`` of such a fit.

    Attributes
    ----------
    updates : int
    weight_bytes : int
        Of the weights sent, once per worker and update.
    gradient_bytes : int
        Of the gradients from tasks.
    computing : float
        Seconds of computing gradients, summed over all workers.
    seconds : float
        Seconds of all updates.
    thread_seconds : float
        `seconds` times the threads of all workers.

    Examples
    --------
    >>> Traffic(updates=2, computing=3.0, seconds=2.0, thread_seconds=4.0).efficiency
    0.75
    """

    updates: int = 0
    weight_bytes: int = 0
    gradient_bytes: int = 0
    computing: float = 0.0
    seconds: float = 0.0
    thread_seconds: float = 0.0

    @property
    def efficiency(self) -> float:
        """The share of the workers' time spent on gradients."""
        return self.computing / self.thread_seconds if self.thread_seconds else 0.0

    def __repr__(self) -> str:
        count = max(1, self.updates)
        return (
            f"<Traffic of {self.updates} updates: {self.weight_bytes // count:,} bytes of weights and "
            f"{self.gradient_bytes // count:,} of gradients each, {1e3 * self.seconds / count:.1f} ms each, "
            f"efficiency {self.efficiency:.2f}>"
        )


class ClusterStepper(PartedStepper):
    """A stepper whose parts run as tasks, on batches of a `rnnkit.distributed.sources.Source`."""

    def __init__(self, model, class_weight, source):
        super().__init__(model, model._ready(), class_weight, source.parts)
        self.source, self.traffic = source, Traffic()
        self.tasks: Tasks = source.tasks
        self._waiting: list = []  # batches to test
        self._workers: tuple[float, list[int]] = (0.0, [])

    def train(self, batch, tally: Tally) -> None:
        """Train on a batch as `Stepper.train`, with the parts as tasks."""
        begun = time.perf_counter()
        try:
            super().train(batch, tally)
        except Exception as error:
            error.add_note(f"in the update by {batch.where}; the model has the weights of the last finished update")
            raise
        seconds = time.perf_counter() - begun
        self.traffic.seconds += seconds
        self.traffic.thread_seconds += seconds * sum(self._threads())

    def _total(self, batch, update: int) -> Summand | None:
        shipped, weights, graph, key = self._begun()
        level = []
        for number, (form, found) in enumerate(batch.parts):
            level.append(self.tasks.key("gradient"))
            graph[level[-1]] = (updates.gradient, (shipped, Ref(key), update, number, form, *found))
        meanwhile = Meanwhile(self.source.load, key)
        while len(level) > 1:
            groups = [level[i : i + _ARITY] for i in range(0, len(level), _ARITY)]
            level = [self.tasks.key("sum") for _ in groups]
            graph |= {one: (updates.summed, tuple(map(Ref, own))) for one, own in zip(level, groups, strict=True)}
        (total,) = self.tasks.now(graph, level, meanwhile)
        if total is not None:
            self.traffic.updates += 1
            sent = sum(one.nbytes for one in weights.arrays.values())
            self.traffic.weight_bytes += sent * len(self._threads())
            self.traffic.gradient_bytes += total.sent
            self.traffic.computing += total.seconds
        return total

    def test(self, batch, tally: Tally) -> None:
        """Add a batch's loss and metrics outside training, together with other waiting batches."""
        self._waiting.append(batch)
        if len(self._waiting) >= 2 * sum(self._threads()):
            self.tests_done(tally)

    def tests_done(self, tally: Tally) -> None:
        """Add the losses and metrics of the waiting batches."""
        if not self._waiting:
            return
        shipped, _, graph, key = self._begun()
        keys = []
        for batch in self._waiting:
            keys.append(self.tasks.key("loss"))
            ((form, found),) = batch.parts
            graph[keys[-1]] = (updates.tested, (shipped, Ref(key), form, *found))
        self._waiting = []
        for sums, told in self.tasks.now(graph, keys, Meanwhile(self.source.load, key)):
            self.add_tested(sums, told, tally)

    def close(self) -> None:
        """Drop the tasks of batches to come."""
        self._waiting = []
        self.tasks.close()

    def _begun(self) -> tuple[Held, Weights, Graph, str]:
        """Return the shipped model, the changed weights, and a graph that holds these under a key."""
        model = self.model
        if self.source.shipped is None:
            if not model.built:
                self.forward(self.source.example())
            shipped, key = ShippedStepper(self), self.tasks.key("model")
            self.source.shipped = self.tasks.begin({key: (updates.given, (shipped,))}, [key])[0], arrays_by_name(model)
        held, base = self.source.shipped
        weights = Weights({name: one for name, one in arrays_by_name(model).items() if one is not base[name]})
        key = self.tasks.key("weights")
        return held, weights, {key: (updates.given, (weights,))}, key

    def _threads(self) -> list[int]:
        asked, found = self._workers
        if not found or time.perf_counter() - asked > _ASK:
            self._workers = time.perf_counter(), self.tasks.threads() or [1]
        return self._workers[1]
