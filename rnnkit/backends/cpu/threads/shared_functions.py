"""What all programs do alike, compiled once and called at an address: so it is in no program, and takes each no time.

``run(action, a, b, …)`` of the text from `kit_text` does what stands at that place of `ROWS`, or of `GANG`, which is
compiled when threads are first used. Within a program each has its name, and the kit's address before its arguments.
"""

import inspect

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from rnnkit.backends.cpu.kernels import matmul, row_copy
from rnnkit.backends.cpu.threads import barrier

ROWS = (
    matmul.piece_of, row_copy.take_rows, row_copy.put_rows, row_copy.used_rows, row_copy.hold_states,
    row_copy.hold_output, row_copy.clear_masked, row_copy.most_used, barrier.share,
)  # fmt: skip
GANG = (
    barrier.arrive,
    barrier.admit,
    barrier.meet,
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


def kit_text(functions) -> str:
    """The module that is compiled for `ROWS` or `GANG`."""
    letters = "abcdefgh"
    lines = ['"""What all programs do alike."""', "", "from rnnkit.backends.shared.numba_pipeline import compiled", ""]
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
    """What a program calls: a name for an action of the kit."""
    count = len(arguments_of(function))

    def call(typingctx, kit, *arguments):
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
) = (_in_program(action, function) for action, function in enumerate(ROWS))  # fmt: skip
arrive, admit, meet, close = (_in_program(action, function) for action, function in enumerate(GANG[:4]))
