"""Functions that all programs share: compiled once and called by address, so no program spends compile time on them.

`module_text` writes a module whose ``run(action, a, b, …)`` calls the function at index ``action`` of `ROW_FUNCTIONS`,
or of `TEAM_FUNCTIONS`, which is compiled when threads are first used. A program calls each function by its name, with
the address of its module's ``run`` as first argument.
"""

import inspect

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from rnnkit.backends.cpu.kernels import matmul, row_copy
from rnnkit.backends.cpu.threads import barrier

ROW_FUNCTIONS = (
    matmul.piece_of, row_copy.take_rows, row_copy.put_rows, row_copy.used_rows, row_copy.hold_states,
    row_copy.hold_output, row_copy.clear_masked, row_copy.most_used, barrier.share,
)  # fmt: skip
TEAM_FUNCTIONS = (
    barrier.arrive,
    barrier.admit,
    barrier.barrier_wait,
    barrier.close,
    barrier.serve_slot,
    barrier.lead_job,
    barrier.wait_for,
)
MOST_ARGUMENTS = 8
SIGNATURE = f"int64({', '.join(['int64'] * (1 + MOST_ARGUMENTS))})"


def arguments_of(function) -> list[str]:
    """The names of a jitted function's arguments."""
    return list(inspect.signature(function.py_func).parameters)


def module_text(functions) -> str:
    """The source of the module that is compiled for `ROW_FUNCTIONS` or `TEAM_FUNCTIONS`."""
    letters = "abcdefgh"
    lines = [
        '"""Functions that all programs share."""',
        "",
        "from rnnkit.backends.shared.numba_pipeline import compiled",
        "",
    ]
    for module in (barrier, matmul, row_copy):
        names = sorted(f.__name__ for f in functions if f.__module__ == module.__name__)
        lines += [f"from {module.__name__} import {', '.join(names)}"] if names else []
    lines += ["", "", "@compiled", f"def run(action, {', '.join(letters)}):"]
    for action, function in enumerate(functions):
        call = f"{function.__name__}({', '.join(letters[: len(arguments_of(function))])})"
        gives = "return" in inspect.getsource(function.py_func).replace("return\n", "")
        lines.append(f"    if action == {action}:")
        lines += [f"        return {call}"] if gives else [f"        {call}", "        return 0"]
    return "\n".join([*lines, "    return 0", ""])


def _in_program(action, function):
    """The intrinsic by which a program calls a shared function."""
    count = len(arguments_of(function))

    def call(typingctx, address, *arguments):
        pointer, i64 = ir.IntType(8).as_pointer(), ir.IntType(64)

        def generate(context, builder, signature, given):
            # numba's own convention: a status, and before the arguments where to put a result and an exception.
            kind = ir.FunctionType(ir.IntType(32), [i64.as_pointer(), pointer, *[i64] * (1 + MOST_ARGUMENTS)])
            place, problem = cgutils.alloca_once(builder, i64), cgutils.alloca_once(builder, pointer)
            numbers = [i64(action), *cgutils.unpack_tuple(builder, given[1]), *[i64(0)] * (MOST_ARGUMENTS - count)]
            code = builder.inttoptr(given[0], kind.as_pointer())
            builder.call(code, [place, builder.bitcast(problem, pointer), *numbers])
            return builder.load(place)

        if len(arguments) != count:
            return None
        return types.int64(types.int64, types.StarArgTuple([types.int64] * count)), generate

    call.__name__ = call.__qualname__ = function.__name__
    call.__doc__ = function.__doc__
    return intrinsic(call)


(
    piece_of, take_rows, put_rows, used_rows, hold_states, hold_output, clear_masked, most_used, share,
) = (_in_program(action, function) for action, function in enumerate(ROW_FUNCTIONS))  # fmt: skip
arrive, admit, barrier_wait, close = (
    _in_program(action, function) for action, function in enumerate(TEAM_FUNCTIONS[:4])
)
