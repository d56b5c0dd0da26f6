"""numba's errors about a step it can't compile, in one sentence: the line, the construct, the alternative to write."""

from __future__ import annotations

import dis
import linecache
import os
import re

import numba

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_LOCATION = re.compile(r'File "([^"\n]+)", line (\d+)|(?:at|from) ([^\s(][^()\n]*?) \((\d+)\)')
_NOT_THE_STEP = (os.path.dirname(numba.__file__), os.path.dirname(os.path.dirname(__file__)))

# numba's message, its meaning, and the alternative to write; the first match counts.
_QUIET = "leave it out, floating-point warnings are off in a compiled step"
_MEANINGS = (
    (
        r"(Cannot modify readonly) array",
        "the step assigns into a weight or an array that it captured",
        "assign into a copy",
    ),
    (r"bound method RandomState|numpy\.random", "the step draws random numbers", "declare draws"),
    (r"Use of unsupported NumPy function '([\w.]+)'", "numba does not know {0}", ""),
    (r"Unknown attribute '(\w+)' of type Module\(<module '([\w.]+)'", "numba does not know {1}.{0}", ""),
    (r"Unknown attribute '(?:a_)?(\w+)' of type rnnkit_arrays", "the cell has no attribute {0!r}", ""),
    (r"NameError: (name '\w+' is not defined)", "{0}", ""),
    (
        r"Cannot unify (.+?) and (.+?) for '([\w$]+)",
        "{2!r} is {0} in one place and {1} in another",
        "keep one type and number of axes for each variable",
    ),
    (r"opcode \(IMPORT_NAME\)", "an import inside the step", "import at the top of the module"),
    (r"opcode \((?:GET_AWAITABLE|SEND)\)", "await or yield from inside the step", ""),
    (r"'with \(context manager\)|[Cc]ontext.?manager", "a with statement", _QUIET),
    (r"Exception object cannot be stored|\btry\b|\bexcept\b", "a try statement", "test the condition with an if"),
    (r"del found at: (del \w+)", "{0}", "leave the del out"),
    (r"(the step calls another declared cell.*)", "{0}", "write its equations here, or put the cells in a stack"),
    (r"(the step assigns to .*)", "{0}", "carry what changes as a state"),
    (r"('[\w.]+' is a (?:dict|set))", "{0}", "use a tuple or an array"),
    (r"(axis|keepdims) has to be a constant", "{0} is not a constant", "write the number itself"),
    (r"Unknown attribute '(\w+)' of type (.+)", "numba knows no attribute {0!r} of {1}", ""),
    (r"[Uu]nsupported opcode \((\w+)\)", "numba does not compile the Python instruction {0}", ""),
    (
        r"No implementation of function (?:Function\()?<?(?:built-in )?(?:function |class |ufunc )?'?([^\s>)']+)"
        r".*?found for signature:\s*>>> (.*)",
        "numba has no {0} for these arguments, {1}",
        "",
    ),
    (
        r"Untyped global name '(\w+)'.*?<class '(?:dict|set)'>",
        "numba takes no dict or set, {0!r}",
        "use a tuple or an array",
    ),
    (r"Untyped global name '(\w+)'", "numba can't use the global {0!r}", ""),
    (r"[Cc]annot determine Numba type of (.*)", "numba can't use a value of {0}", ""),
)


class CannotCompile(Exception):
    """The error that numba can't compile a step; the message is one sentence with file, line and construct."""


def cannot_compile(error: Exception, function) -> CannotCompile:
    """Return numba's error on compiling `function` as a `CannotCompile`."""
    text = _ANSI.sub("", str(error))
    file, line = _place(error, text, function)
    source = linecache.getline(file, line).strip() if line else ""
    meaning, instead = _meaning(error, text)
    sentence = f"{file}, line {line}: {meaning}"
    if source:
        sentence += f", in `{source}`"
    return CannotCompile(sentence + (f"; {instead}" if instead else ""))


def _place(error, text, function):
    code = function.__code__
    for match in _LOCATION.finditer(text):
        file, line = match[1] or match[3], int(match[2] or match[4])
        path = os.path.abspath(file) if not file.startswith("<") else file
        if path.startswith(_NOT_THE_STEP) or file.startswith(("<rnnkit", "numba/")):
            continue
        return (code.co_filename if os.path.basename(path) == os.path.basename(code.co_filename) else path), line
    loc = getattr(error, "loc", None)
    if loc is not None and loc.line:
        return loc.filename, loc.line
    if "with" in text:
        for instruction in dis.get_instructions(code):
            if instruction.opname in ("BEFORE_WITH", "LOAD_SPECIAL") and instruction.positions:
                return code.co_filename, instruction.positions.lineno
    return code.co_filename, code.co_firstlineno


def _meaning(error, text):
    for pattern, meaning, instead in _MEANINGS:
        if match := re.search(pattern, text, re.DOTALL if ">>>" in pattern else 0):
            groups = [" ".join((group or "").split("\n")[0].split()) for group in match.groups()]
            return meaning.format(*groups), instead
    for line in text.splitlines():
        if line.strip() and not line.startswith(("Failed in nopython", "- Resolution", "File ")):
            return line.partition(" Raised from ")[0].strip().rstrip("."), ""
    return f"numba fails with {type(error).__name__}", ""
