"""The pages say what is so: their examples run and give the output shown, their links lead somewhere."""

import doctest
import os
import pathlib
import re
import shutil
import sys
import tempfile

import core_environment
import processes
import pytest

from rnnkit.backends.cpu import tuning

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def name(path: pathlib.Path) -> str:
    """Name a page by its path in the repository."""
    return path.relative_to(ROOT).as_posix()


def examples(page: pathlib.Path) -> list[tuple[str, str]]:
    """Pair each block of Python with the block of text that follows it, which is its output."""
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    following = [*blocks[1:], ("", "")]
    return [
        (code, after if kind == "text" else "")
        for (language, code), (kind, after) in zip(blocks, following, strict=False)
        if language == "python"
    ]


def test_the_readme_has_examples_with_output():
    assert any(output for _, output in examples(ROOT / "README.md"))


def of_getting_started() -> list[pathlib.Path]:
    """What somebody reads first, who has installed rnnkit and nothing else."""
    menu = re.search(
        r"toctree\}\n(.*?)```", (ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8"), re.DOTALL
    )
    named = [ROOT / "docs" / f"{line}.md" for line in menu[1].split("\n")]
    return [ROOT / "README.md", ROOT / "docs" / "index.md", *(page for page in named if page.exists())]


FIRST = of_getting_started()


def test_there_are_pages_of_getting_started():
    assert len([page for page in FIRST if examples(page)]) >= 7


@pytest.mark.docs
@pytest.mark.parametrize("page", [page for page in PAGES if examples(page)], ids=name)
def test_examples_give_the_output_shown(page, tmp_path):
    """The blocks of a page are one script, top to bottom; those of getting started need no extra."""
    pieces = examples(page)
    marker = "=== next example ==="
    script = tmp_path / "page.py"  # a file, since a step is read from its source
    script.write_text("".join(f"{code}\nprint({marker!r})\n" for code, _ in pieces), encoding="utf-8")
    if "import dask" in script.read_text(encoding="utf-8"):
        pytest.importorskip("dask.array")
        pytest.importorskip("zarr")
    environment = dict(os.environ)
    if "inspect_asm" in script.read_text(encoding="utf-8"):  # which only a process that compiles has
        environment["RNNKIT_CACHE_DIR"] = str(tmp_path / "cache")
    command = core_environment.without_extras(script) if page in FIRST else [sys.executable, "-W", "error", script]
    result = processes.run(command, check=True, cwd=tmp_path, env=environment)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    checker = doctest.OutputChecker()
    printed = result.stdout.split(f"{marker}\n")
    for (code, expected), got in zip(pieces, printed, strict=False):
        assert checker.check_output(expected, got, flags), f"{code}\ngave\n{got}\nrather than\n{expected}"


def test_the_program_shown_is_the_one_that_is_written():
    """Line by line; numbers depend on the machine's vectors."""
    page = ROOT / "docs" / "programs.md"
    digits = lambda text: [re.sub(r"\d+", "0", line) for line in text.splitlines() if line]
    script = examples(page)[0][0] + "\nprint(layer.explain(source=True))\n"
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "page.py")  # a file, since a step is read from its source
        file.write_text(script, encoding="utf-8")
        printed = processes.run([sys.executable, file]).stdout
    shown = [block for language, block in BLOCK.findall(page.read_text(encoding="utf-8")) if language == "numba"]
    assert shown and not set(digits("\n".join(shown))) - set(digits(printed))


def test_the_table_of_numbers_is_true():
    """A row begins with the numbers that its names have, in order; of a table by registers, those of 32."""
    page = (ROOT / "docs" / "programs.md").read_text(encoding="utf-8")
    section = page[page.index("## Where to change what") :].split("\n## ")[0]
    shown = {}
    for _, names, now in re.findall(r"^\| ([^|`]+) \| (`[^|]+) \| ([^|]+) \|$", section, re.MULTILINE):
        numbers = re.findall(r"(\d[\d,]*\b)(?: ([KM]B))?", now)
        for constant, (digits, unit) in zip(re.findall(r"`(\w+)`", names), numbers, strict=False):
            shown[constant] = int(digits.replace(",", "")) * {"": 1, "KB": 1 << 10, "MB": 1 << 20}[unit]
    found = {constant: getattr(tuning, constant) for constant in shown}
    assert shown == {constant: value[32] if isinstance(value, dict) else value for constant, value in found.items()}
    assert len(shown) == 14
    assert set(re.findall(r"`([A-Z][A-Z_]+[A-Z])`", page)) - {"RNNKIT_CACHE_DIR"} <= set(vars(tuning))


def test_the_operation_shown_is_the_one_that_is_written():
    """The lines of a block stand in the file that is named last before it."""
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    shown = re.findall(
        r"`(rnnkit/[\w/]+\.py)`((?:(?!`rnnkit/).)*?)^ *```py\n(.*?)^ *```$", page, re.DOTALL | re.MULTILINE
    )
    assert len(shown) == page.count("```py\n") == 2
    for path, _, block in shown:
        lines = {line.strip() for line in (ROOT / path).read_text(encoding="utf-8").splitlines()}
        assert not {line.strip() for line in block.splitlines()} - lines, path


KERNEL = """
from rnnkit.steps.cell import prepare
from rnnkit.execution.pipeline import compile_step
from rnnkit.backends.cuda.compile import CUDA
from rnnkit.compiler.ir.plan import STEP
from rnnkit.backends.cuda.runtime.cost_model import H100
from rnnkit.steps.step import Step

cell = gated(units=64)
prepare(cell, (None, 16), np.dtype("float32"), np.random.default_rng(0))
program = compile_step(Step(cell, (16,)), "float32", cell._all_weights(), target=CUDA)
program.gpu = H100
program._last = 32, *program.chosen(32)
print("=== the kernel ===", program.explain(), "=== its text ===", sep="\\n")
print(program._kernel(STEP, program._last[2]).text)

cell = halved()
prepare(cell, (None, 1), np.dtype("float32"), np.random.default_rng(0))
step = Step(cell, (1,))
step.output_shape()
print(compile_step(step, "float32", {}, target=CUDA).write(STEP, None).text)
"""


@pytest.mark.parametrize(
    ("title", "shown", "folders", "least"),
    [
        ("A pointwise operation", "xlogy", ("rnnkit", "tests/support"), 5),
        ("A forecaster", "Autoregression", ("rnnkit",), 6),
    ],
)
def test_a_recipe_names_every_file_that_has_the_one_shown(title, shown, folders, least):
    """`Auto`, which is made of other forecasters, needs none that is new."""
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    section = page[page.index(f"## {title}\n") :].split("\n## ")[0]
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py*"))]
    files += [path for path in sorted((ROOT / "docs").rglob("*.md")) if path.name != "recipes.md"]
    files = [path for path in files if path.suffix != ".pyc" and path.name != "auto.py"]
    having = {path.relative_to(ROOT).as_posix() for path in files if shown in path.read_text(encoding="utf-8")}
    assert len(having) >= least and {path for path in having if f"`{path}`" not in section} == set()


def test_the_kernels_shown_are_those_that_are_written(tmp_path):
    """Written without a GPU, for the one that the page names."""
    page = ROOT / "docs" / "gpu.md"
    file = tmp_path / "page.py"
    file.write_text("\n".join(code for code, _ in examples(page)) + KERNEL, encoding="utf-8")
    done = processes.run([sys.executable, file], check=True)
    explained, text = done.stdout.split("=== the kernel ===\n")[1].split("=== its text ===\n")
    shown = dict(BLOCK.findall(page.read_text(encoding="utf-8")))
    assert doctest.OutputChecker().check_output(shown["explained"], explained, doctest.ELLIPSIS), explained
    kernels = [block for language, block in BLOCK.findall(page.read_text(encoding="utf-8")) if language == "numba"]
    lines = "".join(kernels).splitlines()
    assert len(kernels) == 2 and not set(lines) - set(text.splitlines())


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_named_are_there(page):
    """Below the package or one of its rooms, the tests or the root."""
    places = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if ".venv" not in str(path)]
    named = re.findall(r"[\w/]+\.py\b", page.read_text(encoding="utf-8"))
    missing = [one for one in named if not any(f"/{place}".endswith(f"/{one}") for place in places)]
    assert not set(missing) - {"rnnkit/cells/your_cell.py"}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_named_are_in_the_makefile(page):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"^make ([\w-]+)|`make ([\w-]+)`", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert {first or second for first, second in named} <= set(targets)


def tracked_texts() -> list[tuple[str, str]]:
    """Every tracked file that is text, with what is in it, but for what others wrote."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("only git knows which files are tracked")
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]  # a checkout may belong to another user
    listed = processes.run(command, check=True, cwd=ROOT).stdout
    found = []
    for path in filter(None, listed.split("\0")):
        content = (ROOT / path).read_bytes() if (ROOT / path).is_file() else b"\0"
        if b"\0" not in content:
            found.append((path, content.decode("utf-8")))
    return found


def test_nothing_names_somebodys_machine():
    """No absolute path of where it was written, and no package index of its own choosing."""
    paths = r"(?<![\w.<>~])/(?:wor[k]|hom[e]|roo[t]|User[s])/\w"
    banned = re.compile(paths + "|pypi[.]org|files[.]pythonhosted|index[-]url")
    texts = tracked_texts()
    assert len(texts) > 20
    found = [f"{path}: {match.group()}" for path, text in texts for match in [banned.search(text)] if match]
    assert found == []


def test_nothing_was_left_for_later():
    marks = re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X])\b")
    assert [path for path, text in tracked_texts() if marks.search(text)] == []


def test_every_environment_variable_is_in_the_table():
    page = (ROOT / "docs" / "compiler.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `(RNNKIT_\w+)` \|", page, re.MULTILINE)
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "rnnkit").rglob("*.py")]
    assert table == sorted({name for text in sources for name in re.findall(r"RNNKIT_[A-Z_]+", text)})
