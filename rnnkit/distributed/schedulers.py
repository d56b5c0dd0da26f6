"""Schedulers of a fit's tasks: the workers of a client, or a scheduler of Dask in this process."""

from __future__ import annotations

import itertools
import uuid
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from rnnkit.distributed.graphs import Ref, dask, task

Graph = dict[str, tuple[Callable, tuple]]  # functions and arguments by key; `Ref` and `Held` are results


class Meanwhile(NamedTuple):
    """An action to begin while tasks are computed; with workers, once the task of the key `after` is done."""

    begin: Callable[[], None]
    after: str


class Held:
    """A finished or pending result, kept where it is until the object is dropped."""

    def __init__(self, future, place: int | None = None):
        self.future, self.place = future, place

    def value(self):
        """Wait for the result, and return it."""
        found = self.future.result()
        return found if self.place is None else found[self.place]


class Tasks:
    """Base of classes that start tasks; those of `compute` and `begin` have a lower priority than those of `now`."""

    threads: Callable[[], list[int]]  # the number of threads of each worker
    compute: Callable[[Sequence], list[Held]]  # begins to compute Dask's collections
    begin: Callable[[Graph, Sequence[str]], list[Held]]  # begins tasks
    now: Callable[..., list]  # (graph, keys, meanwhile=None) to the results of tasks; `meanwhile` begins others

    def __init__(self) -> None:
        self._own, self._count = uuid.uuid4().hex, itertools.count()

    def key(self, kind: str) -> str:
        return f"{kind}-{self._own}-{next(self._count)}"

    def compute_groups(self, groups: Sequence[Sequence]) -> list[list[Held]]:
        """Begin to compute groups of collections, each of which may be dropped by itself."""
        return [self.compute(group) for group in groups]

    def close(self) -> None:
        """Cancel the tasks begun."""


class OnClient(Tasks):
    """Tasks on the workers of a client of ``distributed``.

    All tasks are pure, so that the scheduler recomputes the results lost with a worker. For that, weights are in the
    graph rather than scattered.
    """

    def __init__(self, client):
        super().__init__()
        self.client = client
        self._begun: list = []

    def threads(self):
        return list(self.client.nthreads().values())

    def compute(self, collections):
        return [Held(future) for future in self.client.compute(list(collections), priority=-1)]

    def compute_groups(self, groups):
        """Begin to compute groups of collections, all of them in one graph."""
        found = iter(self.compute([one for group in groups for one in group]))
        return [list(itertools.islice(found, len(group))) for group in groups]

    def begin(self, graph, keys):
        return [Held(future) for future in self._sent(graph, keys, -1)]

    def now(self, graph, keys, meanwhile=None):
        """Compute the results of some tasks, or raise the error of one; `meanwhile` begins others once one is done.

        Starting them earlier would delay these tasks in the scheduler. A RuntimeError says that workers die repeatedly
        at the same task, or that the scheduler is gone.
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
        for future in self._begun:
            future.release()
        self._begun = []

    def _sent(self, graph, keys, priority):
        sent = lambda one: Ref(one.future.key) if isinstance(one, Held) else one
        made = {key: task(key, function, *map(sent, given)) for key, (function, given) in graph.items()}
        for key, one in made.items():
            one._token = key  # otherwise Dask hashes all arguments, weights among them
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph")  # weights have to be sent
            return self.client.get(made, list(keys), sync=False, priority=priority)


class Here(Tasks):
    """Tasks of a scheduler of Dask in this process; tasks of `begin` run beside those of `now`."""

    def __init__(self, get: Callable):
        super().__init__()
        self.get = get
        self._pool: ThreadPoolExecutor | None = None

    def threads(self):
        return [1 if self._is_plain() else dask("config").get("num_workers", None) or dask("system").CPU_COUNT]

    def compute(self, collections):
        return self._begun(lambda: dask("base").compute(*collections, scheduler=self.get), len(collections))

    def begin(self, graph, keys):
        return self._begun(lambda: self.now(graph, keys), len(keys))

    def now(self, graph, keys, meanwhile=None):
        """Compute the results of some tasks; `meanwhile` begins others before."""
        if meanwhile:
            meanwhile.begin()
        value = lambda one: one.value() if isinstance(one, Held) else one
        made = {key: task(key, function, *map(value, given)) for key, (function, given) in graph.items()}
        return list(self.get(made, list(keys)))

    def close(self):
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _is_plain(self) -> bool:
        """Return whether the scheduler runs one task at a time."""
        return self.get is dask("local").get_sync

    def _begun(self, work, count) -> list[Held]:
        if self._is_plain():
            future: Future = Future()
            try:
                future.set_result(work())
            except Exception as error:  # raised where the result is used, as by a client
                future.set_exception(error)
        else:
            self._pool = self._pool or ThreadPoolExecutor(1, "rnnkit-loading")
            future = self._pool.submit(work)
        return [Held(future, place) for place in range(count)]


def tasks_for(collections: Sequence) -> Tasks:
    """Return the tasks of the scheduler that Dask would use now: a client, or the configured one."""
    get: Any = dask("base").get_scheduler(collections=list(collections)) or dask("threaded").get
    client = getattr(get, "__self__", None)
    return Here(get) if client is None else OnClient(client)
