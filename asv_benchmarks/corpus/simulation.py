"""Queues, tables and machines."""

import numpy as np
from numba import prange

from .recurrence import Recurrence

CAPACITY = 8
WORD, NUMBER, BLANK = 1, 2, 0
NEXT = np.array([[0, 1, 2, 3], [0, 1, 1, 3], [0, 3, 2, 3], [0, 3, 3, 3]])
RUNS = 12
VOLUMES = np.array([0.0, 1.0, 2.5, 4.5, 7.0, 10.0, 14.0, 60.0])
OUTFLOWS = np.array([0.0, 0.1, 0.4, 0.8, 1.5, 2.6, 4.5, 40.0])
REORDER, FULL, DELIVERY = 6.0, 20.0, 3
SPAN = 16


def event_queue(x, states):
    """Jobs that arrive and leave by a heap of the times still to go, full at eight (Law 2015, section 1.4)."""
    heap = states.heap - x[0]
    size = int(states.size)
    while size > 0 and heap[0] <= 0:
        size -= 1
        last = heap[size]
        i = 0
        while 2 * i + 1 < size:
            child = 2 * i + 1
            if child + 1 < size and heap[child + 1] < heap[child]:
                child += 1
            if heap[child] >= last:
                break
            heap[i] = heap[child]
            i = child
        heap[i] = last
    if size == CAPACITY:
        return -1.0, (heap, float(size))
    i = size
    while i > 0 and heap[(i - 1) // 2] > x[1]:
        heap[i] = heap[(i - 1) // 2]
        i = (i - 1) // 2
    heap[i] = x[1]
    return size + 1.0, (heap, size + 1.0)


def event_queue_loop(x):
    rows, steps, _ = x.shape
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        heap, size = np.zeros(CAPACITY, x.dtype), 0
        for t in range(steps):
            for i in range(size):
                heap[i] -= x[b, t, 0]
            while size > 0 and heap[0] <= 0:
                size -= 1
                last = heap[size]
                i, child = 0, 1
                while child < size:
                    if child + 1 < size and heap[child + 1] < heap[child]:
                        child += 1
                    if heap[child] >= last:
                        break
                    heap[i] = heap[child]
                    i, child = child, 2 * child + 1
                heap[i] = last
            if size == CAPACITY:
                out[b, t] = -1
                continue
            i = size
            while i > 0:
                parent = (i - 1) >> 1
                if heap[parent] <= x[b, t, 1]:
                    break
                heap[i] = heap[parent]
                i = parent
            heap[i] = x[b, t, 1]
            size += 1
            out[b, t] = size
    return out


def jobs(rng, rows, steps, dtype):
    """Times between arrivals, and how long each job takes; busy hours follow quiet ones."""
    busy = 1 + 0.8 * np.sin(np.arange(steps) / 12)
    return np.stack([rng.exponential(1 / busy, (rows, steps)), rng.exponential(5, (rows, steps))], -1).astype(dtype), ()


def finite_automaton(x, states):
    """A scanner that counts words and numbers by a table of transitions (Aho et al. 2007, section 3.4)."""
    code = int(x[0])
    if 48 <= code <= 57:
        kind = 2
    elif 97 <= code <= 122 or code == 95:
        kind = 1
    elif code == 32:
        kind = 0
    else:
        kind = 3
    before = int(states.place)
    place = NEXT[before, kind]
    words, numbers = states.words, states.numbers
    if place == BLANK:
        if before == WORD:
            words += 1
        elif before == NUMBER:
            numbers += 1
    return np.array([words, numbers]), (float(place), words, numbers)


def finite_automaton_loop(x):
    rows, steps, _ = x.shape
    out = np.empty((rows, steps, 2), x.dtype)
    for b in prange(rows):
        place, words, numbers = 0, 0, 0
        for t in range(steps):
            code = int(x[b, t, 0])
            if 48 <= code <= 57:
                kind = 2
            elif 97 <= code <= 122 or code == 95:
                kind = 1
            elif code == 32:
                kind = 0
            else:
                kind = 3
            before, place = place, NEXT[place, kind]
            if place == BLANK:
                words += before == WORD
                numbers += before == NUMBER
            out[b, t, 0] = words
            out[b, t, 1] = numbers
    return out


def texts(rng, rows, steps, dtype):
    """Characters of words, numbers and marks, in runs."""
    letters = (
        np.frombuffer(b"abcz_  ", np.uint8),
        np.frombuffer(b"0123456789  ", np.uint8),
        np.frombuffer(b" -+", np.uint8),
    )
    runs = np.maximum.accumulate(np.where(rng.random((rows, steps)) < 0.25, np.arange(steps), 0), axis=1)
    which = np.take_along_axis(rng.choice(3, (rows, steps), p=(0.5, 0.4, 0.1)), runs, axis=1)
    drawn = [rng.choice(some, (rows, steps)) for some in letters]
    return np.choose(which, drawn)[..., None].astype(dtype), ()


def run_length_decoder(x, states, constants):
    """One sample after the other of a signal in runs, some of them empty (Golomb 1966), as a gain for the input."""
    counts, values = constants
    run, left = int(states.run), states.left
    while left <= 0:
        run = (run + 1) % RUNS
        left = counts[run]
    return values[run] * x[0], (float(run), left - 1)


def run_length_decoder_loop(x, counts, values):
    rows, steps, _ = x.shape
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        run, left = RUNS - 1, 0
        for t in range(steps):
            while left <= 0:
                run = run + 1 if run < RUNS - 1 else 0
                left = int(counts[b, run])
            out[b, t] = values[b, run] * x[b, t, 0]
            left -= 1
    return out


def runs_and_noise(rng, rows, steps, dtype):
    counts = rng.integers(0, 6, (rows, RUNS))
    counts[:, 0] = 3
    x = rng.standard_normal((rows, steps, 1))
    return x.astype(dtype), (counts.astype(dtype), rng.normal(0, 1, (rows, RUNS)).astype(dtype))


def level_pool(x, states):
    """A reservoir whose outflow is looked up by binary search in a table of volumes (Chow et al. 1988, section 8.2)."""
    volume = states.volume + x[0]
    low, high = 0, len(VOLUMES) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if VOLUMES[middle] <= volume:
            low = middle
        else:
            high = middle
    share = (volume - VOLUMES[low]) / (VOLUMES[high] - VOLUMES[low])
    outflow = OUTFLOWS[low] + share * (OUTFLOWS[high] - OUTFLOWS[low])
    return outflow, (volume - outflow,)


def level_pool_loop(x):
    rows, steps, _ = x.shape
    volumes, outflows = VOLUMES.astype(x.dtype), OUTFLOWS.astype(x.dtype)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        volume = x.dtype.type(3.0)
        for t in range(steps):
            volume += x[b, t, 0]
            low, high = 0, len(volumes) - 1
            while high - low > 1:
                middle = (low + high) >> 1
                if volumes[middle] <= volume:
                    low = middle
                else:
                    high = middle
            share = (volume - volumes[low]) / (volumes[high] - volumes[low])
            outflow = outflows[low] + share * (outflows[high] - outflows[low])
            volume -= outflow
            out[b, t] = outflow
    return out


def level_pool_jax(x, states):
    import jax.numpy as jnp

    volume = states.volume + x[0]
    outflow = jnp.interp(volume, VOLUMES, OUTFLOWS)
    return outflow, (volume - outflow,)


def floods(rng, rows, steps, dtype):
    wave = 1.5 + 1.4 * np.sin(np.arange(steps) / 15)[:, None]
    return (wave * rng.gamma(1.5, 0.8, (rows, steps, 1))).astype(dtype), ()


def inventory(x, states):
    """Stock ordered up to a level, delivered days later, and demand that waits (Zipkin 2000, chapter 6): the cost."""
    stock, ordered, wait = states
    if wait > 0:
        wait -= 1
        if wait == 0:
            stock += ordered
            ordered = 0.0
    stock -= x[0]
    cost = 0.1 * stock if stock >= 0 else -1.5 * stock
    if stock < REORDER and ordered == 0:
        ordered = FULL - stock
        wait = DELIVERY
        cost += 2.0
    return cost, (stock, ordered, wait)


def inventory_loop(x):
    rows, steps, _ = x.shape
    real = x.dtype.type
    zero, keep, miss, fixed, reorder, full = real(0.0), real(0.1), real(-1.5), real(2.0), real(REORDER), real(FULL)
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        stock, ordered, wait = real(10.0), zero, 0
        for t in range(steps):
            if wait > 0:
                wait -= 1
                if wait == 0:
                    stock += ordered
                    ordered = zero
            stock -= x[b, t, 0]
            cost = keep * stock if stock >= 0 else miss * stock
            if stock < reorder and ordered == 0:
                ordered = full - stock
                wait = DELIVERY
                cost += fixed
            out[b, t] = cost
    return out


def inventory_jax(x, states):
    import jax.numpy as jnp

    arrives = states.wait == 1
    stock = states.stock + jnp.where(arrives, states.ordered, 0.0) - x[0]
    ordered = jnp.where(arrives, 0.0, states.ordered)
    orders = (stock < REORDER) & (ordered == 0)
    cost = jnp.where(stock >= 0, 0.1 * stock, -1.5 * stock) + jnp.where(orders, 2.0, 0.0)
    wait = jnp.where(orders, float(DELIVERY), jnp.maximum(states.wait - 1, 0.0))
    return cost, (stock, jnp.where(orders, FULL - stock, ordered), wait)


def demand(rng, rows, steps, dtype):
    return rng.gamma(2.0, 1.2, (rows, steps, 1)).astype(dtype), ()


def nearest_higher(window, value):
    """How far above `value` the latest entry is that is higher, 0 where none is."""
    for k in range(SPAN - 1, -1, -1):
        if window[k] > value:
            return window[k] - value
    return 0.0


def stock_span(x, states):
    """How far the price is below the latest one that was higher (the span of a stock; Goodrich et al. 2013)."""
    away = nearest_higher(states.window, x[0])
    return away, (np.append(states.window[1:], x[0]),)


def stock_span_loop(x):
    rows, steps, _ = x.shape
    out = np.empty((rows, steps), x.dtype)
    for b in prange(rows):
        window, position = np.zeros(SPAN, x.dtype), 0
        for t in range(steps):
            value, away, k = x[b, t, 0], x.dtype.type(0.0), position
            for _ in range(SPAN):
                k = k - 1 if k > 0 else SPAN - 1
                if window[k] > value:
                    away = window[k] - value
                    break
            out[b, t] = away
            window[position] = value
            position = position + 1 if position < SPAN - 1 else 0
    return out


def walks(rng, rows, steps, dtype):
    return np.cumsum(rng.normal(0, 1, (rows, steps, 1)), axis=1).astype(dtype), ()


RECURRENCES = (
    Recurrence(
        event_queue, event_queue_loop, jobs, states={"heap": CAPACITY, "size": ()}, features=2, differentiable=False
    ),
    Recurrence(
        finite_automaton,
        finite_automaton_loop,
        texts,
        states={"place": (), "words": (), "numbers": ()},
        output=(2,),
        differentiable=False,
    ),
    Recurrence(
        run_length_decoder,
        run_length_decoder_loop,
        runs_and_noise,
        states={"run": (), "left": ()},
        initial={"run": RUNS - 1.0},
        constants={"counts": (RUNS,), "values": (RUNS,)},
        fixed=("run", "left", "counts"),
    ),
    Recurrence(
        level_pool, level_pool_loop, floods, states={"volume": ()}, initial={"volume": 3.0}, jax_step=level_pool_jax
    ),
    Recurrence(
        inventory,
        inventory_loop,
        demand,
        states={"stock": (), "ordered": (), "wait": ()},
        initial={"stock": 10.0},
        fixed=("ordered", "wait"),
        jax_step=inventory_jax,
    ),
    Recurrence(stock_span, stock_span_loop, walks, states={"window": SPAN}),
)
