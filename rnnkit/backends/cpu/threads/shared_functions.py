"""Functions that all programs share: compiled once and called by address, so no program spends compile time on them.

`module_text` writes a module whose ``run(action, a, b, …)`` calls the function at index ``action`` of `ROW_FUNCTIONS`,
or of `TEAM_FUNCTIONS`, which is compiled when threads are first used. A program calls each function by its name, with
the address of its module's ``run`` as first argument.
"""

from llvmlite import ir

from rnnkit.backends.cpu.kernels import matmul, row_copy
from rnnkit.backends.cpu.simd.intrinsic import intrinsic
from rnnkit.backends.cpu.simd.kinds import INT
from rnnkit.backends.cpu.threads import barrier

ROW_FUNCTIONS = (
    matmul.piece_of, row_copy.take_rows, row_copy.put_rows, row_copy.used_rows, row_copy.hold_states,
    row_copy.hold_output, row_copy.clear_masked, row_copy.most_used, barrier.share,
)  # fmt: skip
TEAM_FUNCTIONS = (
    barrier.arrive, barrier.admit, barrier.barrier_wait, barrier.close,
    barrier.serve_slot, barrier.lead_job, barrier.wait_for,
)  # fmt: skip
MOST_ARGUMENTS = 8
ARGUMENTS = 1 + MOST_ARGUMENTS


def arguments_of(function) -> list[str]:
    return [argument.arg for argument in function.definition.args.args]


def module_text(functions) -> str:
    """Return the source of the module that is compiled for `ROW_FUNCTIONS` or `TEAM_FUNCTIONS`."""
    letters = "abcdefgh"
    head = '"""Functions that all programs share."""'
    lines = [head, "", "from rnnkit.backends.cpu.language.function import compiled", ""]
    for module in (barrier, matmul, row_copy):
        names = sorted(f.__name__ for f in functions if f.__module__ == module.__name__)
        lines += [f"from {module.__name__} import {', '.join(names)}"] if names else []
    lines += ["", "", "@compiled", f"def run(action, {', '.join(letters)}):"]
    for action, function in enumerate(functions):
        call = f"{function.__name__}({', '.join(letters[: len(arguments_of(function))])})"
        lines.append(f"    if action == {action}:")
        lines += [f"        return {call}"] if function.gives else [f"        {call}", "        return 0"]
    return "\n".join([*lines, "    return 0", ""])


def by_address(action: int, count: int):
    """Return an intrinsic that calls a module's ``run(action, …)``: its address first, then `count` arguments."""

    @intrinsic(INT, *[INT] * (1 + count))
    def call(builder, address, *given):
        i64 = INT.llvm
        kind = ir.FunctionType(i64, [i64] * (1 + MOST_ARGUMENTS))
        numbers = [i64(action), *given, *[i64(0)] * (MOST_ARGUMENTS - count)]
        return builder.call(builder.inttoptr(address, kind.as_pointer()), numbers)

    return call


(
    piece_of, take_rows, put_rows, used_rows, hold_states, hold_output, clear_masked, most_used, share,
) = (by_address(action, len(arguments_of(function))) for action, function in enumerate(ROW_FUNCTIONS))  # fmt: skip
arrive, admit, barrier_wait, close = (
    by_address(action, len(arguments_of(function))) for action, function in enumerate(TEAM_FUNCTIONS[:4])
)
take_lanes, give_lanes = by_address(0, 5), by_address(1, 5)  # see `rnnkit.backends.cpu.kernels.row_transposes`
