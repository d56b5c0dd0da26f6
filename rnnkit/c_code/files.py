"""Texts of the files of an exported network, by name."""

from __future__ import annotations

import textwrap
from typing import NamedTuple

import numpy as np

from rnnkit.c_code.network import Network
from rnnkit.c_code.network_source import NetworkWriter
from rnnkit.c_code.text import REAL, comment, indented, initializer, plain, static_array
from rnnkit.c_code.unit import Array

MARK = "Written by rnnkit"  # near the beginning of every file
_LIBRARIES = ("math.h", "stddef.h", "stdint.h")


class Recorded(NamedTuple):
    """Flat sequences and their outputs, for the test."""

    steps: int
    inputs: list[np.ndarray]
    outputs: list[np.ndarray]
    constants: list[np.ndarray]
    tolerance: float


class Texts:
    """The texts of one network under a name; `title` describes it in a line."""

    def __init__(self, network: Network, name: str, title: str, recorded: Recorded):
        self.network, self.name, self.title, self.recorded = network, name, plain(title), recorded
        self.writer = NetworkWriter(network, name)
        self.real = REAL[network.dtype.name]
        self.functions = self.writer.source()
        self.groups: dict[str, tuple[str, list[Array]]] = {
            unit.name: (unit.title, list(unit.arrays.values())) for unit in network.units if unit.arrays
        }

    def all(self) -> dict[str, str]:
        """Return every file's text by its name."""
        lines = {
            f"{self.name}.h": self._header(),
            f"{self.name}.c": self._source(),
            f"{self.name}_weights.h": self._weights_header(),
            f"{self.name}_weights.c": self._weights_source(),
            f"{self.name}_test.c": self._test(),
            "Makefile": self._makefile(),
        }
        return {file: "\n".join([*text, ""]) for file, text in lines.items()} | {"README.md": self._readme()}

    def weight_bytes(self) -> int:
        arrays = [array.values for _, group in self.groups.values() for array in group]
        return sum(array.nbytes for array in (*arrays, *self.network.tables.values()))

    def state_bytes(self) -> int:
        return self.writer.state_bytes()

    # The library

    def _header(self) -> list[str]:
        name, writer = self.name, self.writer
        heads = writer.heads(";")
        once = [v for v, signal in zip(writer.y, self.network.outputs, strict=True) if not signal.in_time]
        but = f", of which {' and '.join(once)} holds the last alone" if once else ""
        runs = f"run: `steps` steps; x holds them one after the other, and so does y{but}."
        body = [
            comment("How many numbers a step reads and writes."),
            *self._sizes(self.network.inputs, writer.x, self.network.input_names),
            *self._sizes(self.network.outputs, writer.y, self.network.output_names),
            "",
            comment("The states of one sequence, with memory of a step: one of them for each sequence."),
            *writer.structs(),
            "",
            comment("Begin a sequence; before the first step, too."),
            *heads["reset"],
            "",
            comment("Take one step: read x, write y. The arrays may not overlap."),
            *heads["step"],
            "",
            comment("A step that is masked: all states stay, and y is what the layers put out then."),
            *heads["skip"],
            "",
            comment(runs),
            *heads["run"],
        ]
        return self._guarded(f"{name.upper()}_H", ["stddef.h", "stdint.h"], body)

    def _sizes(self, signals, variables, names) -> list[str]:
        """Return a C constant for each array of a step, commented with its name in the model."""
        lines: list[str] = []
        for i, (signal, variable) in enumerate(zip(signals, variables, strict=True)):
            lines += [comment(f"{variable}: {names[i]!r}")] if names else []
            lines.append(f"#define {self.name.upper()}_{variable.upper()} {signal.size}")
        return lines

    def _guarded(self, guard: str, libraries, body: list[str]) -> list[str]:
        includes = [f"#include <{library}>" for library in libraries]
        return [
            *self._title(), f"#ifndef {guard}", f"#define {guard}", "", *includes, "", "#ifdef __cplusplus",
            'extern "C" {', "#endif", "", *body, "", "#ifdef __cplusplus", "}", "#endif", "", "#endif",
        ]  # fmt: skip

    def _title(self) -> list[str]:
        return [comment(f"{self.title}. {MARK}; changes are lost when it is written again.")]

    def _source(self) -> list[str]:
        includes = [f"#include <{library}>" for library in _LIBRARIES]
        weights = [f'#include "{self.name}_weights.h"'] if self._has_weights() else []
        refusal = ["#ifdef __FAST_MATH__", '#error "compile without -ffast-math, which breaks exp and tanh"', "#endif"]
        return [*self._title(), f'#include "{self.name}.h"', *weights, "", *includes, "", *refusal, "", *self.functions]

    def _has_weights(self) -> bool:
        return bool(self.groups or self.network.tables)

    def _weights_header(self) -> list[str]:
        members: list[str] = []
        for name, (title, arrays) in self.groups.items():
            fields = [
                line for a in arrays for line in (comment(a.title), f"{a.c_type} {a.name}[{max(a.values.size, 1)}];")
            ]
            members += [comment(title), "struct {", *indented(fields), f"}} {name};"]
        for name, table in self.network.tables.items():
            members.append(comment(f"a row of {table.shape[1]} for each of {table.shape[0]} ids"))
            members.append(f"{self.real} {name}[{table.size}];")
        body = ["typedef struct {", *indented(members or ["char nothing;"]), f"}} {self.name}_weights_t;", ""]
        body.append(f"extern const {self.name}_weights_t {self.name}_weights;")
        return self._guarded(f"{self.name.upper()}_WEIGHTS_H", ["stdint.h"], body)

    def _weights_source(self) -> list[str]:
        lines = [*self._title(), f'#include "{self.name}_weights.h"', "", "#include <math.h>", ""]
        lines.append(f"const {self.name}_weights_t {self.name}_weights = {{")
        dtype = self.network.dtype
        for arrays in self.groups.values():
            lines += ["    {"]
            for array in arrays[1]:
                lines += indented([comment(f"{array.name}: {array.title}")], 8)
                lines += indented(_closed(initializer(array.values, array.values.dtype)), 8)
            lines += ["    },"]
        for table in self.network.tables.values():
            lines += indented(_closed(initializer(table, dtype)))
        return [*lines, *([] if self._has_weights() else ["    0"]), "};"]

    # Other files

    def _test(self) -> list[str]:
        name, writer, recorded = self.name, self.writer, self.recorded
        lines = [*self._title(), comment("Run recorded inputs, and compare with what rnnkit puts out for them.")]
        lines += [f'#include "{name}.h"', "", "#include <math.h>", "#include <stdio.h>", ""]
        for signal, x, array in zip(self.network.inputs, writer.x, recorded.inputs, strict=True):
            lines += static_array(writer.c_type(signal), x, array, np.int32 if signal.ids else self.network.dtype)
        for y, array in zip(writer.y, recorded.outputs, strict=True):
            lines += static_array(self.real, f"expected_{y}", array, self.network.dtype)
            lines.append(f"static {self.real} {y}[{max(array.size, 1)}];")
        for i, array in enumerate(recorded.constants):
            lines += static_array(self.real, f"constant_{i}", array, self.network.dtype)
        lines += [f"static {name}_state state;", "", *_COMPARE.replace("real", self.real).splitlines(), ""]
        compared = [
            f"worst = fmax(worst, difference({y}, expected_{y}, {array.size}));"
            for y, array in zip(writer.y, recorded.outputs, strict=True)
        ]
        reset = f"{name}_reset({', '.join(['&state', *(f'constant_{i}' for i in range(len(recorded.constants)))])});"
        run = ", ".join(["&state", *writer.x, str(recorded.steps), *writer.y])
        x_t = [f"{x} + {s.size} * t" for x, s in zip(writer.x, self.network.inputs, strict=True)]
        y_t = [f"{y} + {s.size} * t" if s.in_time else y for y, s in zip(writer.y, self.network.outputs, strict=True)]
        body = [
            "double worst = 0;", reset, f"{name}_run({run});", *compared, reset,
            f"for (int t = 0; t < {recorded.steps}; ++t) {{",
            f"    {name}_step({', '.join(['&state', *x_t, *y_t])});", "}", *compared,
            f'printf("{name}: greatest error %.3g of the greatest output, allowed {recorded.tolerance:g}\\n", worst);',
            f"return worst <= {recorded.tolerance!r} ? 0 : 1;",
        ]  # fmt: skip
        return [*lines, "int main(void)", "{", *indented(body), "}"]

    def _makefile(self) -> list[str]:
        name = self.name
        sources = f"{name}_test.c {name}.c {name}_weights.c"
        return [
            f"# {MARK}; changes are lost when it is written again.",
            "CFLAGS = -std=c99 -O3 -Wall -Wextra -Wpedantic",
            "",
            "test: " + f"{name}_test",
            f"\t./{name}_test",
            "",
            f"{name}_test: {sources} {name}.h {name}_weights.h",
            f"\t$(CC) $(CFLAGS) -o $@ {sources} -lm",
            "",
            ".PHONY: test",
        ]

    def _readme(self) -> str:
        """Return a README on the network and its use."""
        name, writer = self.name, self.writer
        x, y = ", ".join(writer.x), ", ".join(writer.y)
        kinds = [*map(writer.c_type, self.network.inputs), *(self.real for _ in writer.y)]
        declared = [
            f"{kind} {v}[{name.upper()}_{v.upper()}];" for kind, v in zip(kinds, writer.x + writer.y, strict=True)
        ]
        constants = "".join(f", constant_{i}" for i in range(len(self.network.constants)))
        code = [
            f'#include "{name}.h"', "", f"static {name}_state state;", *declared, "",
            f"{name}_reset(&state{constants});", f"{name}_step(&state, {x}, {y});",
        ]  # fmt: skip
        parts = [
            f"# {name}",
            f"{self.title}, as C99. {MARK}. It needs math.h, and allocates nothing.",
            f"- Weights: {self.weight_bytes():,} bytes, constant.\n"
            f"- States and memory of a step: {self.state_bytes():,} bytes for each sequence.",
            "\n".join(["```c", *code, "```"]),
            f"`{name}.h` describes the functions. Compile `{name}.c` and `{name}_weights.c` with your program, and "
            "link with `-lm`. Do not use `-ffast-math`. `make` compiles and runs a test, which compares recorded "
            "outputs. With `-O3 -march=native`, loops use vectors and fused multiply-adds.",
        ]
        lines = [part if "\n" in part else textwrap.fill(part, 110, break_on_hyphens=False) for part in parts]
        return "\n\n".join(lines) + "\n"


_COMPARE = """\
/* The greatest difference, over the greatest expected number where that is above 1. */
static double difference(const real *found, const real *expected, int count)
{
    double worst = 0, most = 1;
    for (int i = 0; i < count; ++i) {
        const int same = found[i] == expected[i] || (found[i] != found[i] && expected[i] != expected[i]);
        const double apart = same ? 0 : fabs((double)found[i] - (double)expected[i]);
        worst = apart <= worst ? worst : apart == apart ? apart : (double)INFINITY;
        if (fabs((double)expected[i]) > most && fabs((double)expected[i]) < (double)INFINITY) {
            most = fabs((double)expected[i]);
        }
    }
    return worst / most;
}"""


def _closed(lines: list[str]) -> list[str]:
    return [*lines[:-1], f"{lines[-1]},"]
