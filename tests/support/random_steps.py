"""Cells made at random: the text of a step in NumPy, and several sizes that the text runs with.

A text holds no sizes, as compiled programs don't: what depends on them is a weight ``w.k0`` or an entry of ``n``. So
cell number ``i`` is text ``i // SIZES`` with its sizes ``i % SIZES``, and most cells of one text share a program.

``python tests/support/random_steps.py 1234`` prints cell 1234.
"""

import sys
import warnings
from functools import lru_cache
from itertools import pairwise
from types import SimpleNamespace

import numpy as np

import rnnkit as rk

SIZES = 6
WIDTHS = (2, 3, 5, 7, 8, 9, 15, 16, 17, 23, 31, 32, 33, 47, 63, 64, 65)  # around the lanes of vectors
WIDE = (200, 223, 240, 257, 272)
MOST = 30.0  # the largest value that a line may give: rounding is then small beside the bounds of the tests
LARGEST = 4000  # elements of a value in a row


def listed(table):
    return [entry.strip() for entry in table.replace("\n", ";").split(";") if entry.strip()]


POINTWISE = listed("""
    np.tanh({0}) ; rk.sigmoid({0}) ; 1 / (1 + np.exp(-{0})) ; rk.softplus({0}) ; rk.log_sigmoid({0}) ; rk.erf({0})
    rk.erfc({0}) ; np.sqrt({0} * {0} + 0.1) ; np.exp(np.minimum({0}, 1.0)) ; np.exp2(np.minimum({0}, 1.0))
    np.expm1(-np.abs({0})) ; np.log(np.abs({0}) + 0.5) ; np.log2(np.abs({0}) + 0.5) ; np.log10(np.abs({0}) + 0.5)
    np.log1p(np.abs({0})) ; np.sin({0}) ; np.cos({0}) ; np.tan(np.tanh({0})) ; np.sinh(np.tanh({0}))
    np.cosh(np.tanh({0})) ; np.arcsin(0.9 * np.tanh({0})) ; np.arccos(0.9 * np.tanh({0})) ; np.arctan({0})
    np.arcsinh({0}) ; np.arccosh(1.5 + np.abs({0})) ; np.arctanh(0.9 * np.tanh({0})) ; np.cbrt(0.5 + np.abs({0}))
    np.square({0}) ; np.tanh({0}) ** 3 ; {0} - 0.25 ; 2.0 * {0} ; np.reciprocal(1.5 + np.abs({0})) ; rk.relu({0})
    rk.relu6({0}) ; rk.leaky_relu({0}) ; rk.elu({0}) ; rk.selu({0}) ; rk.gelu({0}) ; rk.silu({0}) ; rk.mish({0})
    rk.hard_sigmoid({0}) ; rk.hard_silu({0}) ; rk.softsign({0}) ; rk.exponential(-np.abs({0}))
    np.clip({0}, -0.5, 0.7) ; np.maximum({0}, 0.1) ; np.minimum(0.4, {0}) ; np.nan_to_num({0})
    np.zeros_like({0}) + 0.5
""")
EXACT = listed("""
    -{0} ; np.abs({0}) ; np.floor(4.0 * {0}) ; np.ceil(4.0 * {0}) ; np.trunc(4.0 * {0}) ; np.rint(4.0 * {0})
    np.sign({0}) ; np.maximum({0}, 0.0) ; np.where({0} > 0.0, {0}, 0.25) ; np.remainder({0}, 0.75) ; np.fmod({0}, 0.75)
    (4.0 * {0}) // 3.0 ; ({0} > 0.0) * 1.0 ; np.where(~({0} <= 0.125), 1.0, -1.0) ; 1.0 * ({0} != 0.0)
""")
OF_TWO = listed("""
    {0} + {1} ; {0} - {1} ; {0} * {1} ; {0} * {1} ; 0.7 * {0} + 0.3 * {1} ; {0} / (1.5 + np.abs({1}))
    np.maximum({0}, {1}) ; np.minimum({0}, {1}) ; np.power(np.abs({0}) + 0.5, np.tanh({1}))
    np.arctan2({0}, np.abs({1}) + 0.5) ; np.hypot({0}, {1}) ; np.logaddexp({0}, {1}) ; rk.sigmoid({0}) * np.tanh({1})
    np.tanh({0} + {1}) ; np.where(np.abs({0}) >= 0.0, {1}, {0})
""")
CONDITIONS = listed("""
    {0} > {1}
    {0} <= {1}
    ({0} >= 0.1) & ({1} < 0.5)
    ({0} == {1}) | ({0} != {1}) & ~({0} < -0.5)
    ({0} > 0.0) | ({1} > 0.0)
    np.logical_xor({0} > 0.1, {1} > 0.1)
    np.isfinite({0}) & ({1} > -0.3)
""")
OVER_AN_AXIS = listed("""
    np.{name}({0}, axis={axis}, keepdims=True) ; {0} - np.{name}({0}, axis={axis}, keepdims=True)
    ({0} - {0}.mean(axis={axis}, keepdims=True)) / np.sqrt({0}.var(axis={axis}, keepdims=True) + 0.05)
    rk.softmax({0}, axis={axis}) ; rk.log_softmax({0}, axis={axis}) ; np.cumsum({0}, axis={axis})
""")


class Refused(Exception):
    """A line that doesn't fit its operands for some of the sizes."""


class Name:
    """A value of the step: its name, and the arrays it is for each of the sizes in a trial batch of 3."""

    def __init__(self, name, arrays, exact):
        self.name, self.arrays = name, arrays
        self.exact = exact  # computed without rounding, so that a decision on it is the same in every backend
        self.shapes = [a.shape[1:] for a in arrays]
        self.rank = len(self.shapes[0])

    def __str__(self):
        return self.name

    def size(self, axis=-1):
        return tuple(shape[axis] for shape in self.shapes)

    @property
    def elements(self):
        return tuple(int(np.prod(shape)) for shape in self.shapes)


class Draft:
    """A step as it is written: lines that were run for all sizes, and the values they made."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.lines, self.weights = [], 0
        self.worlds = [SimpleNamespace(w=SimpleNamespace(), n=[]) for _ in range(SIZES)]
        self.variables = [{"np": np, "rk": rk, "w": world.w, "n": world.n} for world in self.worlds]
        self.dtype = self.pick("float64", "float32")
        self.base = [self.sizes(WIDTHS) for _ in range(3)]
        if self.rng.random() < 0.25:
            at = self.rng.integers(SIZES, size=2)
            self.base[0] = tuple(self.pick(*WIDE) if i in at else n for i, n in enumerate(self.base[0]))
        self.small = self.sizes((2, 3, 4))
        self.pool, self.states, self.constants = [], [], []
        features = [self.base[1]]
        if self.rng.random() < 0.15:
            features = [(*self.base[1][:-1], 0)]
        if self.rng.random() < 0.15:
            features = [self.small, *features]
        self.x = self.given("x", features)
        for i in range(self.rng.integers(1, 4)):
            size = self.base[0] if i == 0 else self.base[self.rng.integers(3)]
            axes = [[size], [size], [self.small, size], [size, self.small]][self.rng.integers(4)]
            self.states.append(self.given(f"s{i}", axes))
        if self.rng.random() < 0.2:
            axes = [self.base[2]] if self.rng.random() < 0.6 else [self.small, self.base[2]]
            self.constants.append(self.given("c0", axes))

    def sizes(self, widths):
        """Sizes at which one program serves, and last, often, a 1: there strides and offsets vanish from its text."""
        last = 1 if self.rng.random() < 0.6 else self.pick(*widths)
        return (*(int(n) for n in self.rng.choice(widths, SIZES - 1)), last)

    def cut(self, lengths):
        """The text of a place within an axis of these lengths; for the last of the sizes perhaps one of its ends."""
        *most, last = lengths
        return self.number((*(int(self.rng.integers(1, max(n, 2))) for n in most), int(self.rng.integers(last + 1))))

    def pick(self, *choices):
        return choices[self.rng.integers(len(choices))]

    def given(self, name, axes):
        arrays = [self.rng.normal(0, 0.7, (3, *shape)) for shape in zip(*axes, strict=True)]
        return self.named(name, arrays, exact=True)

    def named(self, name, arrays, exact):
        for variables, array in zip(self.variables, arrays, strict=True):
            variables[name] = array
        self.pool.append(Name(name, arrays, exact))
        return self.pool[-1]

    def weight(self, *axes, spread=None):
        """The text of a weight of these axes; for products, so small that their results aren't large."""
        name = f"k{self.weights}"
        self.weights += 1
        for world, shape in zip(self.worlds, zip(*axes, strict=True), strict=True):
            scale = 0.8 / np.sqrt(max(shape[0], 1)) if spread is None else spread
            setattr(world.w, name, self.rng.normal(0, scale, shape))
        return f"w.{name}"

    def number(self, values):
        """The text of a number, or of an array of them, that depends on the sizes."""
        if all(isinstance(v, int) for v in values) and len(set(values)) == 1:
            return str(values[0])
        for world, value in zip(self.worlds, values, strict=True):
            world.n.append(value)
        return f"n[{len(self.worlds[0].n) - 1}]"

    def line(self, expression, exact=False, count=1, then=""):
        """Add ``v7 = expression``, or several names at once; ``then`` is a statement that changes the value."""
        names = [f"v{len(self.lines) + 1}" + ("abcdefgh"[i] if count > 1 else "") for i in range(count)]
        text = f"{', '.join(names)} = {expression}"
        if then:
            text += "\n" + then.format(names[0])
        code = compile(text, "<line>", "exec")
        for variables in self.variables:
            try:
                with np.errstate(all="ignore"), warnings.catch_warnings():
                    warnings.simplefilter("error", RuntimeWarning)  # as for the mean of nothing
                    exec(code, variables)
            except (ValueError, IndexError, RuntimeWarning) as error:
                raise Refused(text) from error
        made = [[variables[name] for variables in self.variables] for name in names]
        for array in (a for arrays in made for a in arrays):
            if array.shape[0] != 3 or array.ndim < 2 or array[0].size > LARGEST:
                raise Refused(text)
            if not (np.isfinite(array).all() and np.abs(array).max(initial=0) <= MOST):
                raise Refused(text)
        self.lines.append(text)
        values = [self.named(name, arrays, exact) for name, arrays in zip(names, made, strict=True)]
        return values if count > 1 else values[0]

    def attempt(self, operation, *given):
        """What an operation gives, or None if it doesn't fit."""
        pool = len(self.pool)
        try:
            return operation(self, *given)
        except Refused:
            del self.pool[pool:]
            return None

    def unused(self):
        """Values that no line looks at yet; all, if there are none."""
        used = words(" ".join(line.partition(" = ")[2] for line in self.lines))
        return [v for v in self.pool if v.name not in used] or self.pool

    def broadcast(self, a, exact=None):
        """Another value that an operation with this one leaves as it is in shape."""
        fitting = [
            b
            for b in self.pool
            if b.rank <= a.rank and (exact is None or b.exact is exact)
            and all(fits(s, t) for s, t in zip(b.shapes, a.shapes, strict=True))
        ]  # fmt: skip
        if not fitting:
            raise Refused
        return self.pick(*fitting)


def fits(small, large):
    try:
        return len(small) == len(large) and np.broadcast_shapes(small, large) == large
    except ValueError:
        return False


OPERATIONS = []


def operation(times):
    """Decorator: an operation of the grammar, that many times as likely as others."""

    def decorate(function):
        OPERATIONS.extend([function] * times)
        return function

    return decorate


def an_axis(draft, a):
    """An axis of features, sometimes counted from the end."""
    axis = int(draft.rng.integers(1, a.rank + 1))
    return axis if draft.rng.random() < 0.5 else axis - a.rank - 1


def key(axis, rank, text):
    """The text of an index along one axis."""
    entries = [":"] * (rank + 1)
    entries[axis] = text
    return ", ".join(entries)


@operation(4)
def pointwise(draft, a):
    return draft.line(draft.pick(*POINTWISE).format(a))


@operation(2)
def exactly(draft, a):
    if not a.exact:
        raise Refused
    return draft.line(draft.pick(*EXACT).format(a), exact=True)


@operation(5)
def of_two(draft, a):
    return draft.line(draft.pick(*OF_TWO).format(a, draft.broadcast(a)))


@operation(2)
def where(draft, a):
    first = draft.broadcast(a, exact=True)
    condition = draft.pick(*CONDITIONS).format(first, draft.broadcast(first, exact=True))
    other = draft.pick("0.3", str(draft.broadcast(a)))
    if draft.rng.random() < 0.25:
        return draft.line(f"np.copysign(np.abs({a}) + 0.1, {first})")
    return draft.line(f"np.where({condition}, {a}, {other})")


@operation(2)
def with_weight(draft, a):
    axes = [a.size(axis) for axis in range(a.rank)]
    if a.rank > 1 and draft.rng.random() < 0.5:
        axes = axes[1:]
    weight = draft.weight(*axes, spread=0.7)
    form = draft.pick("{0} + {1}", "{0} * {1}", "{0} - np.exp(-{1} * {1})", "{1} * {0} + {1}")
    return draft.line(form.format(a, weight))


@operation(4)
def product(draft, a):
    """One product, or several of one operand, of axes new or those of a state."""
    width = draft.pick(*draft.base, draft.small, a.size())
    kernel = draft.weight(a.size(), width)
    if a.rank == 1:
        forms = ["np.dot({0}, {1})", "np.matmul({0}, np.tanh({1}))", "np.einsum('bi,ij->bj', {0}, {1})"]
        others = [v for v in draft.pool if v.rank == 1]
        total = linear(draft, [a, *draft.pick([], others[:1], others[-1:])], width)
        made = draft.line(draft.pick(*forms, *[total] * 6).format(a, kernel))
    else:
        forms = ["{0} @ {1}", "np.einsum('b...i,ij->b...j', {0}, {1})", "np.tensordot({0}, {1}, 1)"]
        if a.rank == 2:
            other = draft.weight(width, a.size(0))
            forms += [f"{other} @ {{0}}", f"np.einsum('bmi,nm->bin', {{0}}, {other})"]
        made = draft.line(draft.pick(*forms).format(a, kernel))
    if draft.rng.random() < 0.2:
        draft.line(f"{a} @ {draft.weight(width, a.size())}.T")
    return made


@operation(2)
def product_of_parts(draft, a):
    """Products of slices, of concatenations and of what one loop makes for several products."""
    width = draft.pick(*draft.base)
    n = a.size()
    if draft.rng.random() < 0.5:
        at, kernel = draft.cut(n), draft.weight(n, width)
        return draft.line(f"{a}[..., {at}:] @ {kernel}[{at}:] + np.tanh({a}[..., :{at}]) @ {kernel}[:{at}]")
    b = draft.pick(*(b for b in draft.pool if [s[:-1] for s in b.shapes] == [s[:-1] for s in a.shapes]))
    both = tuple(i + j for i, j in zip(n, b.size(), strict=True))
    return draft.line(f"np.concatenate([{a}, {b}], axis=-1) @ {draft.weight(both, width)}")


@operation(1)
def product_in_the_row(draft, a):
    """A product in which each row has its own matrix."""
    if a.rank != 2:
        raise Refused
    rows, columns = draft.weight(draft.x.elements, a.size(0)), draft.weight(draft.x.elements, a.size(1))
    flat = flattened(draft, draft.x)
    return draft.pick(
        lambda: draft.line(f"np.einsum('bm,bmn->bn', {flat} @ {rows}, {a}) / 4.0"),
        lambda: draft.line(f"({a} * ({flat} @ {columns})[:, None, :]).sum(axis=-1) / 4.0"),
        lambda: draft.line(f"0.5 * {a} + ({flat} @ {rows})[:, :, None] * ({flat} @ {columns})[:, None, :]"),
        lambda: draft.line(f"(({flat} @ {rows})[:, None, :] @ {a})[:, 0] / 4.0"),
    )()


@operation(6)
def gates(draft, a):
    """Two to five gates, of one product or of several, of equal widths or not, and what they make together."""
    count = int(draft.rng.integers(2, 6))
    state = draft.pick(*draft.states)
    width = state.size() if state.rank == 1 else draft.base[0]
    operands = [flattened(draft, v) for v in draft.pick([a], [a, state], [a, draft.pick(*draft.pool)])]
    form = draft.rng.integers(4)
    if form == 0:
        whole = linear(draft, operands, tuple(count * n for n in width))
        parts = draft.line(f"np.split({whole}, {count}, axis=-1)", count=count)
    elif form == 1:
        parts = [draft.line(linear(draft, operands, width)) for _ in range(count)]
    else:
        others = [width, width, draft.base[1], draft.small] if form == 2 else [width]
        edges = np.cumsum([(0,) * SIZES, *(draft.pick(*others) for _ in range(count))], axis=0).tolist()
        z = draft.line(linear(draft, operands, tuple(edges[-1])))
        ends = [draft.number(tuple(edge)) for edge in edges]
        parts = [draft.line(f"{z}[:, {low}:{high}]") for low, high in pairwise(ends)]
        parts = [part for part in parts if part.size() == width]
    if len(parts) < 2:
        raise Refused
    forms = "rk.sigmoid({0})", "rk.hard_sigmoid({0})", "(1 - rk.sigmoid({0}))"
    opened = [draft.pick(*forms).format(part) for part in parts[1:]]
    total = f"np.tanh({parts[0]})"
    if state.rank == 1 and draft.rng.random() < 0.3:
        reset = f"({opened[-1]} * {state}) @ {draft.weight(width, width)}"
        total = f"np.tanh({parts[0]} + {reset})"
    for gate in opened:
        forms = ["{0} * {1}"]
        forms += ["{0} * {2} + (1 - {0}) * {1}", "{0} * {1} + 0.5 * {2}"] if state.rank == 1 else []
        total = str(draft.line(draft.pick(*forms).format(gate, total, state)))
    return draft.pool[-1]


def linear(draft, operands, width):
    """The text of a sum of products, with a bias or without."""
    terms = [f"{a} @ {draft.weight(a.size(), width)}" for a in operands]
    return " + ".join(terms + draft.pick([], [draft.weight(width, spread=0.5)]))


@operation(3)
def over_an_axis(draft, a):
    name = draft.pick("sum", "mean", "max", "min", "var", "std", "prod", "ptp")
    if name == "std":
        return draft.line(f"np.sqrt(np.var({a}, axis={an_axis(draft, a)}, keepdims=True) + 0.1)")
    return draft.line(draft.pick(*OVER_AN_AXIS).format(a, name=name, axis=an_axis(draft, a)))


@operation(1)
def over_features(draft, a):
    if a.rank == 1:
        return draft.line(f"{a}.{draft.pick('sum', 'max', 'min')}(axis=1)[:, None]")
    return draft.line(f"{a}.{draft.pick('sum', 'mean', 'max', 'min')}(axis={an_axis(draft, a)})")


@operation(4)
def part(draft, a):
    """Slices with ends and steps of every sort, and elements by number."""
    axis = an_axis(draft, a)
    n = a.size(axis if axis < 0 else axis - 1)
    low = draft.cut(n)
    places = [draft.rng.integers(0, max(m, 1), draft.rng.integers(1, 6)) for m in n]
    text = draft.pick(f"{low}:", f":{low}", "::-1", "::2", f"{low}::3", "::-2", f"{low}::-1", "1:", ":-1", "-3:")
    form = draft.rng.integers(6)
    if form == 0:
        return draft.line(f"np.take({a}, {draft.number(places)}, axis={axis})", exact=a.exact)
    if form == 1 and a.rank > 1:
        return draft.line(f"{a}[{key(axis, a.rank, draft.pick('0', '-1'))}]", exact=a.exact)
    return draft.line(f"{a}[{key(axis, a.rank, text)}]", exact=a.exact)


@operation(3)
def join(draft, a):
    axis = an_axis(draft, a)
    place = axis if axis < 0 else axis - 1
    others = [i for i in range(a.rank) if i != place % a.rank]
    alike = [b for b in draft.pool if b.rank == a.rank and all(b.size(i) == a.size(i) for i in others)]
    b = draft.pick(*alike)
    form = draft.rng.integers(4)
    if form == 0:
        return draft.line(f"np.stack([{a}, 0.5 * {a}], axis={axis})", exact=a.exact)
    if form == 1:
        return draft.line(f"np.concatenate([{a}, np.cos({b}), {a}], axis={axis})")
    return draft.line(f"np.concatenate([{b}, {a}], axis={axis})", exact=a.exact and b.exact)


@operation(2)
def rearrange(draft, a):
    axis = an_axis(draft, a)
    if a.rank > 1 and draft.rng.random() < 0.5:
        order = (0, *(1 + draft.rng.permutation(a.rank)).tolist())
        return draft.line(f"{a}.transpose({order})", exact=a.exact)
    form = draft.pick(
        "np.flip({0}, axis={1})", "np.roll({0}, 1, axis={1})", "np.repeat({0}, 2, axis={1})",
        "np.expand_dims({0}, {1})", "np.concatenate(np.array_split({0}, 3, axis={1})[::-1], axis={1})",
        "np.sort({0}, axis={1})", "np.diff({0}, axis={1})",
    )  # fmt: skip
    if "sort({0}" in form and max(a.elements) > 64:
        raise Refused
    return draft.line(form.format(a, axis), exact=a.exact and "diff" not in form)


@operation(1)
def flatten(draft, a):
    if a.rank == 1:
        raise Refused
    return flattened(draft, a)


@operation(1)
def assign(draft, a):
    axis = an_axis(draft, a)
    at = key(axis, a.rank, draft.pick("0", "1:", "::2", "-1"))
    return draft.line(f"{a} * 1.0", then=f"{{0}}[{at}] = np.tanh({a}[{at}]) - 0.1")


def flattened(draft, a):
    if a.rank == 1:
        return a
    return draft.line(f"{a}.reshape({a}.shape[0], {draft.number(a.elements)})", exact=a.exact)


def returned(draft, state, a):
    """The text of a new state made of a value: as it is, mixed with the old state, or brought to its shape."""
    if a.shapes == state.shapes:
        return draft.pick("{0}", "{0}", "np.tanh({0})", "0.5 * {1} + 0.3 * {0}").format(a, state)
    flat = flattened(draft, a)
    elements = state.elements
    if min(flat.elements) and draft.rng.random() < 0.4:
        places = [np.arange(n) % m for n, m in zip(elements, flat.elements, strict=True)]
        text = f"np.tanh({flat})[:, {draft.number(places)}]"
    else:
        text = f"{flat} @ {draft.weight(flat.size(), elements)}"
    if state.rank > 1:
        lengths = ", ".join(draft.number(state.size(axis)) for axis in range(state.rank))
        text = f"({text}).reshape({a}.shape[0], {lengths})"
    return draft.pick("{0}", "np.tanh({0})", "0.4 * {1} + 0.4 * np.tanh({0})").format(text, state)


class Step:
    """A text and what it runs with: ``step(x, states, w, n, constants) -> (output, states)``."""

    def __init__(self, seed):
        for attempt in range(100):
            self.draft = draft = Draft((seed, attempt))
            try:
                self.write(draft)
            except Refused:
                continue
            if self.stays_bounded():
                return
        raise AssertionError(f"no step came of seed {seed}")

    def write(self, draft):
        given, length = len(draft.pool), int(draft.rng.integers(3, 9))
        while length:
            a = draft.pick(*draft.unused()) if draft.rng.random() < 0.7 else draft.pick(*draft.pool)
            length -= draft.attempt(draft.pick(*OPERATIONS), a) is not None
        news = []
        for state in draft.states:
            unused = [v for v in draft.unused() if v in draft.pool[given:]] or draft.pool[given:]
            alike = [v for v in unused if v.shapes == state.shapes] or unused
            text = returned(draft, state, draft.pick(*alike))
            news.append(text if draft.rng.random() < 0.2 else draft.line(text).name)
        output = draft.pick(news[0], *(v.name for v in draft.unused()), f"2.0 * {draft.pick(*draft.pool)}")
        self.dtype, self.numbers, self.weights = draft.dtype, [w.n for w in draft.worlds], [w.w for w in draft.worlds]
        self.text = step_text(draft, output, news)
        if "@" not in self.text and draft.rng.random() < 0.8:
            raise Refused
        variables = {"np": np, "rk": rk}
        exec(compile(self.text, "<random step>", "exec"), variables)
        self.function = variables["step"]

    def stays_bounded(self):
        """Whether states don't grow without end, also from a large start."""
        for i in range(SIZES):
            x, states, constants = self.arrays(i)
            states = [4 * s for s in states]
            for _ in range(12):
                with np.errstate(all="ignore"):
                    output, states = self.function(x, states, self.weights[i], self.numbers[i], constants)
                if not all(np.isfinite(a).all() and np.abs(a).max(initial=0) < MOST for a in (output, *states)):
                    return False
        return True

    def arrays(self, i):
        draft = self.draft
        return draft.x.arrays[i], [s.arrays[i] for s in draft.states], [c.arrays[i] for c in draft.constants]


def step_text(draft, output, news):
    """The lines that the output and the new states need."""
    wanted, kept = " ".join([output, *news]), []
    for line in reversed(draft.lines):
        if any(name in words(wanted) for name in line.partition(" = ")[0].split(", ")):
            kept.append(line)
            wanted += f" {line}"
    body = [f"({', '.join(map(str, draft.states))},) = states"]
    body += [f"({', '.join(map(str, draft.constants))},) = constants"] if draft.constants else []
    body += [part for line in reversed(kept) for part in line.splitlines()]
    body += [f"return {output}, [{', '.join(news)}]"]
    return "\n".join(["def step(x, states, w, n, constants):", *("    " + line for line in body), ""])


def words(text):
    return set("".join(c if c.isalnum() else " " for c in text).split())


step_of = lru_cache(4)(Step)  # cells come in order, and a step holds many arrays


def random_cell(number):
    """Cell `number`."""
    return (CellWithConstants if step_of(number // SIZES).draft.constants else RandomCell)(number)


class RandomCell(rk.Cell):
    """A cell made at random; its text, and what it runs with, as attributes."""

    def __init__(self, number):
        super().__init__(name=f"random_{number // SIZES}")
        step, at = step_of(number // SIZES), number % SIZES
        self.number, self.text, self.function, self.dtype = number, step.text, step.function, step.dtype
        draft = step.draft
        self.features, self.constants = draft.x.shapes[at], tuple(c.shapes[at] for c in draft.constants)
        self.state_size = [s.shapes[at] for s in draft.states]
        self.numbers = step.numbers[at]
        self.values = {name: values for name, values in vars(step.weights[at]).items() if name in words(self.text)}
        deepest = max((values.shape[0] for values in self.values.values() if values.ndim > 1), default=1)
        # Roundings on the way to a result: a few in a line, and as many as a random walk's steps in a product.
        self.roundings = len(self.text.splitlines()) + np.sqrt(deepest)

    def build(self, input_shape):
        self.kept = {
            name: self.add_weight(values.shape, lambda shape, rng, values=values: values, name=name)
            for name, values in self.values.items()
        }

    def call(self, inputs, states):
        return self.function(inputs, states, SimpleNamespace(**self.kept), self.numbers, ())

    def describe(self):
        """What a person needs to look at a failure."""
        weights = {name: values.shape for name, values in self.values.items()}
        return (
            f"cell {self.number}, {self.dtype}, features {self.features}, states {self.state_size}, constants "
            f"{self.constants}, w {weights}, n {self.numbers}\n{self.text}"
        )


class CellWithConstants(RandomCell):
    def call(self, inputs, states, constants):
        return self.function(inputs, states, SimpleNamespace(**self.kept), self.numbers, constants)


if __name__ == "__main__":
    print(random_cell(int(sys.argv[1])).describe())
