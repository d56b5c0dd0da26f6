"""Where the tasks of a fit run: on the workers of a client, or by a scheduler of Dask in this process."""

from __future__ import annotations

import itertools
import uuid
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from rnnkit.distributed.graphs import Ref, task
from rnnkit.distributed.package import dask

Graph = dict[str, tuple[Callable, tuple]]  # by key a function and its arguments; `Ref` and `Held` stand for results


class Meanwhile(NamedTuple):
    """What is begun while tasks are computed, on workers as soon as the task with a key is done."""

    begin: Callable[[], None]
    after: str


class Held:
    """A result, or one to come, that stays where it is until this is dropped."""

    def __init__(self, future, place: int | None = None):
        self.future, self.place = future, place

    def value(self):
        """The result, once it is there."""
        found = self.future.result()
        return found if self.place is None else found[self.place]


class Tasks:
    """Starts tasks; a subclass says where."""

    def __init__(self) -> None:
        self._own, self._count = uuid.uuid4().hex, itertools.count()

    def key(self, kind: str) -> str:
        """A new key."""
        return f"{kind}-{self._own}-{next(self._count)}"

    def threads(self) -> list[int]:
        """How many threads each worker has."""
        raise NotImplementedError

    def compute(self, collections: Sequence) -> list[Held]:
        """Begin to compute Dask's collections, after what is wanted now."""
        raise NotImplementedError

    def compute_groups(self, groups: Sequence[Sequence]) -> list[list[Held]]:
        """The same for groups of collections, each of which may be dropped before the others."""
        return [self.compute(group) for group in groups]

    def begin(self, graph: Graph, keys: Sequence[str]) -> list[Held]:
        """Begin tasks, after what is wanted now."""
        raise NotImplementedError

    def now(self, graph: Graph, keys: Sequence[str], meanwhile: Meanwhile | None = None) -> list:
        """The results of some tasks; `meanwhile` begins what may be done beside them."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave what was begun."""


class OnClient(Tasks):
    """Tasks on the workers of a client of ``distributed``.

    All of them are pure, and a worker's death loses nothing: what it held is computed again from what the scheduler
    knows. So weights are in the graph rather than scattered.
    """

    def __init__(self, client):
        super().__init__()
        self.client = client
        self._begun: list = []

    def threads(self):
        """How many threads each worker has."""
        return list(self.client.nthreads().values())

    def compute(self, collections):
        """Begin to compute Dask's collections."""
        return [Held(future) for future in self.client.compute(list(collections), priority=-1)]

    def compute_groups(self, groups):
        """Begin to compute groups of collections, all of them in one graph."""
        found = iter(self.compute([one for group in groups for one in group]))
        return [list(itertools.islice(found, len(group))) for group in groups]

    def begin(self, graph, keys):
        """Begin tasks."""
        return [Held(future) for future in self._sent(graph, keys, -1)]

    def now(self, graph, keys, meanwhile=None):
        """The results of some tasks, or the error of one; `meanwhile` begins others once one of them is done.

        Until then the scheduler is busy with these, and workers wait for it. A RuntimeError says that workers die at
        the same task again and again, or that the scheduler isn't there any more.
        """
        import distributed

        try:
            self._begun = self._sent(graph, [*keys, *([meanwhile.after] if meanwhile else [])], 0)
            if meanwhile:
                distributed.wait(self._begun[-1])
                self._begun.pop().release()
                meanwhile.begin()
            return self.client.gather(self._begun)
        except distributed.KilledWorker as error:
            raise RuntimeError(f"expected workers that stay alive, but several died at one task: {error}") from error
        except (CancelledError, OSError) as error:  # the errors of lost connections are OSErrors
            raise RuntimeError(f"expected a scheduler that can be reached; the connection is lost: {error}") from error
        finally:
            self.close()

    def close(self):
        """Leave what was begun: its tasks are cancelled."""
        for future in self._begun:
            future.release()
        self._begun = []

    def _sent(self, graph, keys, priority):
        made = {key: task(key, function, *map(_sent, given)) for key, (function, given) in graph.items()}
        for key, one in made.items():
            if hasattr(one, "_token"):  # which Dask else makes of all arguments, weights among them
                one._token = key
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph")  # weights, which are sent anyway
            return self.client.get(made, list(keys), sync=False, priority=priority)


class Here(Tasks):
    """Tasks by a scheduler of Dask that runs in this process; what is only begun runs beside what is wanted now."""

    def __init__(self, get: Callable):
        super().__init__()
        self.get = get
        self._pool: ThreadPoolExecutor | None = None

    def threads(self):
        """How many threads there are."""
        return [1 if self._is_plain() else dask("config").get("num_workers", None) or dask("system").CPU_COUNT]

    def compute(self, collections):
        """Begin to compute Dask's collections."""
        return self._begun(lambda: dask("base").compute(*collections, scheduler=self.get), len(collections))

    def begin(self, graph, keys):
        """Begin tasks."""
        return self._begun(lambda: self.now(graph, keys), len(keys))

    def now(self, graph, keys, meanwhile=None):
        """The results of some tasks; `meanwhile` begins others before."""
        if meanwhile:
            meanwhile.begin()
        made = {key: task(key, function, *map(_value, given)) for key, (function, given) in graph.items()}
        return list(self.get(made, list(keys)))

    def close(self):
        """Leave what was begun."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _is_plain(self) -> bool:
        """Whether it does one task after the other."""
        return self.get is dask("local").get_sync

    def _begun(self, work, count) -> list[Held]:
        if self._is_plain():
            future: Future = Future()
            try:
                future.set_result(work())
            except Exception as error:  # is raised where the results are used, as elsewhere
                future.set_exception(error)
        else:
            self._pool = self._pool or ThreadPoolExecutor(1, "rnnkit-loading")
            future = self._pool.submit(work)
        return [Held(future, place) for place in range(count)]


def tasks_for(collections: Sequence) -> Tasks:
    """Where Dask would compute some collections now: a client that was made, or the scheduler that is configured."""
    get: Any = dask("base").get_scheduler(collections=list(collections)) or dask("threaded").get
    client = getattr(get, "__self__", None)
    return Here(get) if client is None else OnClient(client)


def _sent(argument):
    return Ref(argument.future.key) if isinstance(argument, Held) else argument


def _value(argument):
    return argument.value() if isinstance(argument, Held) else argument
