"""A jitted step: one that numba compiles but the tracer can't read, in one jitted loop over time, a row at a time."""

from __future__ import annotations

import itertools
import math
import types as python_types

import numba
import numpy as np
from numba.core import types

from rnnkit import tracebacks
from rnnkit.backends.jit.errors import CannotCompile, cannot_compile
from rnnkit.backends.jit.fingerprint import content
from rnnkit.backends.jit.numba_compiling import compiling
from rnnkit.backends.jit.overloads import in_steps
from rnnkit.backends.jit.step import OPTIONS, Jit, Live, arrays_in, names_type, plain, quietly, read_only
from rnnkit.backends.shared import program_cache
from rnnkit.backends.shared.call import GradientExecutor, Record, Result
from rnnkit.backends.shared.thread_pool import run_blocks
from rnnkit.steps.cell import cell_name
from rnnkit.steps.declared import DeclaredCell
from rnnkit.steps.step import leaves

_WORTH_THREADS = 64  # steps over all rows, below which handing work to another thread costs more than it saves
_ALONE = "a step must be a function of its arguments alone (for random numbers, declare draws)"
_KEPT = 64  # compiled loops
_loops: dict = {}


class JitExecutor:
    """An executor that runs the jitted step on rows of one, ``x: (1, *features)``, inside one loop over time.

    Arithmetic inside the step is float64; states and outputs are stored in the layer's dtype after every step. The
    weights only check the compiled step against the step itself. A step that decides in Python by its arrays' values,
    `by_row`, means one row, and isn't held against two. `untraced` says why the tracer can't read the step, and
    `no_gradient` why it has no gradient. `CannotCompile` names what numba can't compile; a ValueError says that the
    step mixes rows, or that the compiled step differs from the step itself.
    """

    how = "jitted"
    reason = "numba compiles the step as it stands and runs it row by row"

    def __init__(
        self, step, dtype, weights, constant_shapes=(), training=False, by_row=False, untraced="", no_gradient=""
    ):
        if untraced:
            self.reason = f"{self.reason}, since the tracer can't read it: {untraced}"
        self._no_gradient = no_gradient
        self.step, self.dtype, self.training = step, np.dtype(dtype), bool(training)
        constant_shapes = tuple(tuple(shape) for shape in constant_shapes)
        self._by_row = by_row
        if by_row:
            step.by_row.add((self.training, constant_shapes))
        ones = tuple(np.zeros((1, *shape)) for shape in constant_shapes)
        self.output_shape = step.output_shape(ones, training)
        self.draw_names, self.drawn = tuple(step.draws), step.used_draws(ones, training)
        self.ends = list(itertools.accumulate((math.prod(s) for s in step.state_shapes), initial=0))
        self.sizes = ((1, *step.feature_shape), tuple(self.ends), tuple((1, *shape) for shape in step.state_shapes))
        self.cells = [JitCell(cell, path, self.training) for path, cell in leaves(step.cell)]
        self._refuse_parts_of_weights()
        with program_cache.lock:  # numba's warnings are silenced process-wide meanwhile
            self._loop = self._compiled(weights, constant_shapes)
        self._verify(weights, constant_shapes)

    @tracebacks.door
    def differentiate(self) -> GradientExecutor:
        """Raise a ValueError with the alternative to write: numba's code has no derivative."""
        raise ValueError(self._no_gradient)

    def explain(self, source: bool = False, graph: bool = False) -> str:
        """Return how the step is compiled and why, or the source that hands a row to the step; it has no graph."""
        without = "; there is no graph" if graph else ""
        if source:
            told = f"# jitted: numba compiles {self.step.name!r} as it stands{without}; this calls it with one row"
            return f"{told}\n{self._source}"
        if graph:
            return f"jitted: numba compiles {self.step.name!r} as it stands{without}"
        return f"{self.how}: {self.reason}\n{self.step.name}: the step in one loop over time, a row at a time"

    def run(self, record: Record) -> Result:
        batch_size, length = record.x.shape[:2]
        x = record.x.reshape(batch_size, length, math.prod(self.step.feature_shape))
        mask = np.broadcast_to(True, (batch_size, length)) if record.mask is None else record.mask
        sizes, shape = self.ends[-1], self.output_shape
        states = np.empty((batch_size, sizes), self.dtype)
        for state, first, after in zip(record.states, self.ends, self.ends[1:], strict=False):
            states[:, first:after] = state.reshape(batch_size, after - first)
        last = np.zeros((batch_size, math.prod(shape)), self.dtype)
        outputs = np.empty((batch_size, length if record.sequences else 0, last.shape[1]), self.dtype)
        trajectory = np.empty((batch_size, length if record.trajectory else 0, sizes), self.dtype)
        arrays = self._arrays(record.weights)
        constants = tuple(plain(constant, copy=True) for constant in record.constants)
        # A draw that the step never reads has a place all the same: numba compiles the branches not taken, too.
        draws = tuple(
            plain(record.draws[name], copy=True) if name in self.drawn else np.zeros((1, *self.step.draws[name]))
            for name in self.draw_names
        )

        def block(start, stop):
            self._loop(
                x, mask, states, last, outputs, trajectory, self.sizes, arrays, constants, draws,
                record.reverse, record.zero_masked, start, stop,
            )  # fmt: skip

        run_blocks(block, batch_size, parallel=batch_size * length >= _WORTH_THREADS)
        return Result(
            outputs.reshape(batch_size, length, *shape) if record.sequences else None,
            last.reshape(batch_size, *shape),
            self._apart(states),
            self._apart(trajectory) if record.trajectory else None,
        )

    def _apart(self, flat):
        return tuple(
            np.ascontiguousarray(flat[..., first:after]).reshape(*flat.shape[:-1], *shape)
            for first, after, shape in zip(self.ends, self.ends[1:], self.step.state_shapes, strict=False)
        )

    def _refuse_parts_of_weights(self):
        names = {id(array): name for name, array in self.step.cell._all_weights().items()}
        for array in arrays_in([cell.live for cell in self.cells if not cell.declared]):
            held = array.base
            while held is not None:
                if name := names.get(id(held)):
                    raise ValueError(
                        f"the step of {self.step.name!r} uses weight {name!r} by a part cut in build, where no change "
                        "of it arrives; cut it in the step, from the cell's own attribute"
                    )
                held = getattr(held, "base", None)

    def _arrays(self, weights):
        """Return the arrays that the jitted step reads of every cell: its weights and its array attributes."""
        cells = [cell for _, cell in leaves(self.step.cell._bound(weights))]
        return tuple(cell.arguments(bound) for cell, bound in zip(self.cells, cells, strict=True))

    def _compiled(self, weights, constant_shapes):
        """Return the loop, compiled for this dtype whatever the sizes and strides; equal steps share it."""
        text = self._source = self._text(len(constant_shapes))
        key = (text, self.draw_names, *((cell.names, content(cell.function, cell.known)) for cell in self.cells))
        value, trees = numba.from_dtype(self.dtype), self._trees(weights, constant_shapes)
        given = types.Array(value, 3, "A", readonly=True)
        mask = types.Array(types.boolean, 2, "A", readonly=True)
        kept, three = types.Array(value, 2, "C"), types.Array(value, 3, "C")
        signature = (given, mask, kept, kept, three, three, *map(numba.typeof, trees))
        signature += (types.boolean, types.boolean, types.intp, types.intp)
        try:
            loop = _loops.get(key) or over_time(self._row(text))
            if signature not in loop.signatures:
                loop.disable_compile(False)
                with compiling():
                    quietly(lambda: loop.compile(signature))
                loop.disable_compile()
        except Exception as error:  # numba fails in many ways on what it can't compile
            raise cannot_compile(error, self.cells[0].function) from error
        if len(_loops) >= _KEPT and key not in _loops:
            _loops.pop(next(iter(_loops)))
        return _loops.setdefault(key, loop)

    def _trees(self, weights, constant_shapes):
        return (
            self.sizes,
            self._arrays(weights),
            tuple(np.zeros((1, *shape)) for shape in constant_shapes),
            tuple(np.zeros((1, *self.step.draws[name])) for name in self.draw_names),
        )

    def _text(self, constant_count):
        """Return the function of one step of one row: it hands each cell its states, arrays and draws, and stores."""
        rows = "".join(f"constants[{i}][b : b + 1], " for i in range(constant_count))
        lines = [
            "def row(b, x, state, sizes, arrays, constants, draws, output, new):",
            "    features, ends, shapes = sizes",
            "    y = x.reshape(features)",
            f"    constants = ({rows})",
        ]
        first = 0
        for k, cell in enumerate(self.cells):
            own = range(first, first := first + cell.state_count)
            drawn = ", ".join(
                f"draws[{i}]" + ("[b : b + 1]" if self.draw_names[i] in self.drawn else "")
                for i in self._draws_of(cell)
            )
            given = {
                "arrays": f"arrays[{k}]",
                "x": "y",
                "states": "".join(f"state[ends[{i}] : ends[{i + 1}]].reshape(shapes[{i}]), " for i in own).join("()"),
                "constants": "constants",
                "draws": f"draws_{k}({drawn})",
            }
            if cell.declared:
                given["states"] = f"states_{k}(*{given['states']})"
            call = ", ".join(f"{name}={given[role]}" for name, role in cell.roles.items())
            lines.append(f"    y, states = step_{k}({call})")
            lines += [f"    store(new[ends[{i}] : ends[{i + 1}]], entry(states, {n}))" for n, i in enumerate(own)]
        return "\n".join([*lines, "    store(output, y)"])

    def _draws_of(self, cell):
        return [i for i, name in enumerate(self.draw_names) if name.rpartition("/")[0] == cell.path]

    def _row(self, text):
        jit, names = Jit(), {"store": store, "entry": entry}
        for k, cell in enumerate(self.cells):
            names[f"step_{k}"] = jit.function(cell.function, cell.known)
            names[f"states_{k}"] = names_type(cell.names)
            names[f"draws_{k}"] = names_type(tuple(self.draw_names[i].rpartition("/")[2] for i in self._draws_of(cell)))
        exec(compile(text, "<rnnkit row>", "exec"), names)
        return numba.njit(names["row"], **OPTIONS)

    def _verify(self, weights, constant_shapes):
        """Compare the compiled step with the step itself on two rows, and the latter on single rows with both."""
        step, rng = self.step, np.random.default_rng(0)
        tolerance = 1e-4 if self.dtype == np.float32 else 1e-9
        weights = {name: np.asarray(array, np.float64) for name, array in weights.items()}
        for trial in range(4):
            x = rng.normal(size=(2, *step.feature_shape)).astype(self.dtype).astype(np.float64)
            states = [state.astype(np.float64) for state in step.initial_states(2, self.dtype)]
            if trial:
                states = [state + rng.normal(size=state.shape).astype(self.dtype) for state in states]
            constants = tuple(rng.normal(size=(2, *shape)) for shape in constant_shapes)
            draws = {name: step.draw(name, 2, rng, np.float64) for name in self.drawn}

            def plainly(rows, x=x, states=states, constants=constants, draws=draws):
                with np.errstate(all="ignore"):
                    output, new = step(
                        x[rows].copy(),
                        tuple(state[rows].copy() for state in states),
                        weights,
                        tuple(constant[rows].copy() for constant in constants),
                        {name: draw[rows].copy() for name, draw in draws.items()},
                        self.training,
                    )
                return [np.asarray(array, np.float64) for array in (output, *new)]

            try:
                apart = plainly(slice(0, 1)), plainly(slice(1, 2))
            except Exception:  # the step refuses these numbers, as an index or in a check of its own
                continue
            if not _agree(plainly(slice(0, 1)), apart[0], 0.0):
                raise ValueError(f"the step of {step.name!r} gives another result each time: {_ALONE}")
            single = [np.concatenate(pair) for pair in zip(*apart, strict=True)]
            try:
                both = single if self._by_row else plainly(slice(None))
            except Exception as error:
                told = f"the step of {step.name!r} mixes rows: it works on one row and fails on two ({error})"
                raise ValueError(told).with_traceback(error.__traceback__) from None
            if not _agree(both, single, 1e-9):
                mixes = "mixes rows: a row's result depends on the other rows of its batch"
                raise ValueError(f"the step of {step.name!r} {mixes}")
            given = x[:, None].astype(self.dtype), tuple(state.astype(self.dtype) for state in states), weights
            record = Record(*given, constants=constants, draws=draws, training=self.training)
            try:
                result = self.run(record)
            except Exception as error:  # an error that numba only finds at run time
                raise CannotCompile(f"the compiled step fails where the step itself doesn't: {error}") from None
            if not _agree([result.last, *result.states], both, tolerance):
                told = f"the compiled step of {step.name!r} differs from the step itself on random data: {_ALONE}"
                raise ValueError(f"{told}; {self.reason}")


class JitCell:
    """A cell as the driver sees it: its function, the known parameters, and the arrays passed as the others."""

    def __init__(self, cell, path, training):
        self.path, self.state_count = path, len(cell._states().shapes)
        self.declared = isinstance(cell, DeclaredCell)
        self.names = cell.spec.named._fields if self.declared else ()
        function = type(cell).step if self.declared else getattr(cell.call, "__func__", cell.call)
        if not isinstance(function, python_types.FunctionType):
            raise CannotCompile(f"expected the step of {cell_name(cell)!r} to be a Python function, got {function!r}")
        self.function, code = function, function.__code__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        self.known = {"training": training} if cell._takes("training") else {}
        self.roles = {name: name for name in ("constants", "draws") if cell._takes(name)}
        if self.declared:
            self.known |= cell.hyperparameters
            self.weights = names_type(tuple(_weights_of(cell)))
            first = ("x", "states", "arrays") if cell.spec.takes_weights else ("x", "states")
        else:
            self.live = self.known[names[0]] = Live(cell.call.__self__)
            first = ("arrays", "x", "states")
        self.roles |= dict(zip(names, first, strict=False))

    def arguments(self, cell):
        if self.declared:
            return self.weights(*(read_only(array) for array in _weights_of(cell).values()))
        return self.live.values(cell.call.__self__)


def _weights_of(cell):
    return cell.__dict__.get("_weights", {})


def _agree(found, expected, tolerance):
    """Return whether arrays are equal up to rounding, with the same non-finite places."""
    for a, b in zip(found, expected, strict=True):
        if a.shape != b.shape:
            return False
        finite = np.isfinite(a), np.isfinite(b)
        both = finite[0] & finite[1]
        scale = max(1.0, np.max(np.abs(b[both]), initial=0.0))
        if (finite[0] != finite[1]).any() or (np.abs(a[both] - b[both]) > tolerance * scale).any():
            return False
    return True


@in_steps(prefer_literal=True, jit_options={})
def entry(states, index):
    """Return a state from a step's result: a list, a tuple or the array itself."""
    if isinstance(states, types.Array):
        return lambda states, index: states
    at = index.literal_value
    return lambda states, index: states[at]


@numba.njit(nogil=True)
def store(place, values):
    """Write the values in C order into a vector."""
    if values.size != place.size:
        raise ValueError("expected a step to return states and an output of one shape at every step")
    for i, value in enumerate(values.flat):
        place[i] = value


def over_time(row):
    """Return the loop over rows and time around one step of one row."""

    @numba.njit(nogil=True)
    def loop(x, mask, states, last, outputs, trajectory, sizes, arrays, constants, draws, back, zeros, start, stop):
        length, features = x.shape[1:]
        given, output = np.empty(features), np.empty(last.shape[1])
        state, new = np.empty(states.shape[1]), np.empty(states.shape[1])
        for b in range(start, stop):
            for t in range(length):
                at = length - 1 - t if back else t
                used = mask[b, at]
                if used:
                    # Copies: the step may assign into its arguments.
                    for i in range(given.size):
                        given[i] = x[b, at, i]
                    for i in range(state.size):
                        state[i] = states[b, i]
                    row(b, given, state, sizes, arrays, constants, draws, output, new)
                    for i in range(state.size):
                        states[b, i] = new[i]
                    for i in range(output.size):
                        last[b, i] = output[i]
                if t < outputs.shape[1]:
                    for i in range(output.size):
                        outputs[b, t, i] = last[b, i] if used or not zeros else 0
                if t < trajectory.shape[1]:
                    for i in range(state.size):
                        trajectory[b, t, i] = states[b, i]

    return loop
