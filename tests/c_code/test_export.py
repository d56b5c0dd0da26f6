"""What `export_c` writes: files that compile under strict flags, safe names, true sizes and errors."""

import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest
from c_code_runs import COMPILER, IN_C, NATIVE, STRICT, Library, compiled, needs_compiler

import rnnkit as rk
from rnnkit.c_code.text import comment, identifier, initializer, is_identifier, number, numbers, plain

ROOT = pathlib.Path(__file__).parents[2]
FILES = ["{0}.h", "{0}.c", "{0}_weights.h", "{0}_weights.c", "{0}_test.c", "Makefile", "README.md"]


def engine(units=8, dtype="float32", **keywords):
    model = rk.Sequential(
        [rk.Dense(6, activation="tanh"), rk.LSTM(units, return_sequences=True), rk.Dense(2)],
        dtype=dtype, seed=0, **{"name": "engine", **keywords},
    )  # fmt: skip
    model.build((None, None, 3))
    return model


def run_test(folder, name, flags=("-O1",), compiler=None):
    """Compile the test that was written, and run it."""
    sources = [f"{name}_test.c", f"{name}.c", f"{name}_weights.c"]
    command = [compiler or COMPILER, *STRICT, *flags, "-o", f"{name}_test", *sources, "-lm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]
    return subprocess.run([f"./{name}_test"], cwd=folder, capture_output=True, text=True)


# Files


def test_the_same_model_makes_the_same_files(tmp_path):
    for folder in ("a", "b"):
        exported = rk.export_c(engine(), tmp_path / folder)
        assert [file.name for file in exported.files] == [name.format("engine") for name in FILES]
    for file in exported.files:
        assert (tmp_path / "a" / file.name).read_bytes() == file.read_bytes()
        assert max(map(len, file.read_bytes().decode("ascii").splitlines())) <= 120


def test_files_of_others_stay_and_own_ones_are_replaced(tmp_path):
    rk.export_c(engine(units=4), tmp_path)
    before = (tmp_path / "engine_weights.c").read_text()
    (tmp_path / "main.c").write_text("mine")
    rk.export_c(engine(), tmp_path)
    assert (tmp_path / "main.c").read_text() == "mine"
    assert (tmp_path / "engine_weights.c").read_text() != before
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(
        ["main.c", *(name.format("engine") for name in FILES)]
    )


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_somebody_wrote_is_not_replaced(tmp_path, file):
    path = tmp_path / file.format("engine")
    path.write_bytes(b"\xff my own notes")
    with pytest.raises(FileExistsError, match="was not written by rnnkit; expected a folder where it may be replaced"):
        rk.export_c(engine(), tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"\xff my own notes"


def test_nothing_is_half_written(tmp_path):
    (tmp_path / "README.md").mkdir()  # which can't be replaced by a file
    with pytest.raises(IsADirectoryError):
        rk.export_c(engine(), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["README.md"]


def test_what_comes_back_says_what_was_written(tmp_path):
    exported = rk.export_c(engine(), tmp_path)
    assert f"weights {exported.weight_bytes:,} bytes, states {exported.state_bytes:,} bytes" in str(exported)
    assert f"{exported.weight_bytes:,} bytes" in (tmp_path / "README.md").read_text()


def test_the_header_names_several_inputs_and_outputs_in_their_order(tmp_path):
    x, z = rk.Input((None, 3), name="wind??"), rk.Input((None, 2), name="sun")
    h = rk.GRU(4, return_sequences=True, name="state", seed=0)(rk.Concatenate()([x, z]))
    rk.export_c(rk.Model([x, z], [rk.Dense(1, name="price", seed=0)(h), h]), tmp_path, "several")
    text = (tmp_path / "several.h").read_text()
    lines = [line for line in text.splitlines() if re.match(r"#define .*\d|/\* [xy]_\d", line)]
    assert lines == [
        "/* x_0: 'wind?_?' */", "#define SEVERAL_X_0 3", "/* x_1: 'sun' */", "#define SEVERAL_X_1 2",
        "/* y_0: 'price' */", "#define SEVERAL_Y_0 1", "/* y_1: 'state' */", "#define SEVERAL_Y_1 4",
    ]  # fmt: skip


# Compilers


@needs_compiler
def test_the_program_of_the_page_runs(tmp_path):
    page = (ROOT / "docs" / "c.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```c\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    model = rk.Sequential([rk.LSTM(8, return_sequences=True), rk.Dense(1)], seed=0)
    model.build((None, None, 3))
    rk.export_c(model, tmp_path, name="engine")
    (tmp_path / "main.c").write_text(program)
    compiled([*STRICT, "main.c", "engine.c", "engine_weights.c", "-lm"], tmp_path)
    done = subprocess.run(["./a.out"], cwd=tmp_path, capture_output=True, text=True, check=True)
    want = model(np.tile(np.array([0.5, -1.0, 2.0], "float32"), (1, 3, 1)))[0, :, 0]
    np.testing.assert_allclose(np.array(done.stdout.split(), float), want, atol=6e-5)


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_test_beside_passes_and_fails(tmp_path, dtype):
    rk.export_c(engine(dtype=dtype), tmp_path)
    done = run_test(tmp_path, "engine")
    assert done.returncode == 0 and "engine: greatest error" in done.stdout
    text = (tmp_path / "engine_test.c").read_text()
    first = re.search(r"expected_y\[\d+\] = \{\n +(\S+?)f?,", text)[1]
    (tmp_path / "engine_test.c").write_text(text.replace(first, "0.7125", 1))
    assert run_test(tmp_path, "engine").returncode == 1


@needs_compiler
def test_a_header_serves_programs_in_cpp(tmp_path):
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler: neither g++ nor clang++ is installed")
    rk.export_c(engine(), tmp_path)
    compiled([*STRICT, "-c", "engine.c", "engine_weights.c"], tmp_path)
    (tmp_path / "main.cpp").write_text(
        '#include "engine.h"\n#include "engine_weights.h"\nstatic engine_state state;\nint main()\n{\n'
        "    float x[ENGINE_X] = {}, y[ENGINE_Y];\n    engine_reset(&state);\n    engine_step(&state, x, y);\n"
        "    return y[0] == y[0] ? 0 : 1;\n}\n"
    )
    flags = ["-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    done = subprocess.run([compiler, *flags, "main.cpp", "engine.o", "engine_weights.o", "-lm"], cwd=tmp_path)
    assert done.returncode == 0 and subprocess.run(["./a.out"], cwd=tmp_path).returncode == 0


@pytest.mark.sweep
@pytest.mark.parametrize("flags", [("-O3", *NATIVE), ("-Os",), ("-O2", "-fno-builtin")], ids="fast small plain".split())
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_every_cell_compiles_without_a_warning(tmp_path, compiler, flags):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    layers = {}
    for name, cell in IN_C.items():
        if cell.how == "traced":
            x, constants = cell.inputs(200, "float32")
            layers[name] = cell.layer("float32"), {"constants": constants or None}
    library = Library(layers, tmp_path, flags, compiler)
    for name, (layer, _) in layers.items():
        cell = IN_C[name]
        if cell.steady and name not in ("paper_RelationalMemoryCell", "paper_fast_weights"):  # which magnify rounding
            x, constants = cell.inputs(100, "float32")
            want = layer(x, **({"constants": constants} if constants else {}))[0]
            got = library.sequence(name, "float32", [(want.shape[1:], True)], [c[0] for c in constants]).run(x[0])
            assert np.abs(got - want).max() <= 2e-5 * np.abs(want).max(), name


SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@needs_compiler
@pytest.mark.parametrize("name", ["sparse", "attention"])
def test_sanitizers_find_nothing(tmp_path, name):
    _is_clean(tmp_path, name)


@needs_compiler
@pytest.mark.sweep
@pytest.mark.parametrize("name", [name for name, cell in IN_C.items() if cell.how == "traced"])
def test_sanitizers_find_nothing_in_any_cell(tmp_path, name):
    _is_clean(tmp_path, name)


def _is_clean(folder, name):
    _, constants = IN_C[name].inputs(1, "float32")
    rk.export_c(IN_C[name].layer("float32"), folder, "cell", constants=constants or None)
    done = run_test(folder, "cell", SANITIZED)
    if "cannot find" in done.stderr or "ASan runtime" in done.stderr:
        pytest.skip("no address sanitizer")
    assert done.returncode == 0, done.stdout + done.stderr


# Integers


# Names and texts

HOSTILE = [
    "*/ int x; /*", "??/", "a\\\nb", '"quoted"', "int", "2 layers", "möbius", "__x", "", "NULL", "-", "E" * 300, "%s%n",
    "restrict", "y", "s", "x", "used", "advance", "i", "rk_product", "main",
]  # fmt: skip


@needs_compiler
def test_hostile_names_of_layers_and_weights_are_safe(tmp_path):
    layers = [rk.Dense(3, name=name or "empty") for name in HOSTILE]

    class Cell(rk.Cell):
        state_size = 2

        def build(self, input_shape):
            self.kept = [
                self.add_weight((3, 2), "glorot_uniform", name="*/ #error ??/ \\"),
                self.add_weight((2,), "zeros", name="int"),
                self.add_weight((2,), "zeros", name="double"),
            ]

        def call(self, inputs, states):
            printf = inputs @ self.kept[0]
            expf = np.exp(printf) + self.kept[1]  # */ #error ??/
            return expf * self.kept[2] + expf, [np.tanh(expf)]

    model = rk.Sequential([*layers, rk.RNN(Cell(), name="*/")], seed=0, name="*/ evil ??/ \\")
    model.build((None, None, 3))
    exported = rk.export_c(model, tmp_path)
    assert is_identifier(exported.name)
    assert run_test(tmp_path, exported.name).returncode == 0
    for name in ("engine-2", "int", "", "2x", "a b", "x" * 64, "../a", 3):
        with pytest.raises(ValueError, match="expected name as a C identifier"):
            rk.export_c(model, tmp_path, name)


@needs_compiler
def test_comments_say_nothing_to_the_compiler(tmp_path):
    @rk.cell(states={"h": 3})
    def misleading(x, states, weights):
        (h,) = states
        h = 0.5 * h + 1.0  # t->next, s->state_7, x, y, rk_sigmoid(z), rk_nothing(z)
        return h, h

    def doubled(x):
        return x * 2.0  # t->next, s->state_7, rk_nothing(z)

    layers = {"constant": rk.RNN(misleading()), "twice": rk.Sequential([rk.Lambda(doubled, name="s x y used")])}
    for layer in layers.values():
        layer.build((None, None, 2))
    Library(layers, tmp_path)


@pytest.mark.parametrize("text", HOSTILE)
def test_comments_end_where_they_should(text):
    found = comment(text)
    assert found.isascii() and found.isprintable()
    assert found.count("*/") == found.count("/*") == 1
    assert "??" not in found and "\\" not in found and '"' not in plain(text)


def test_identifiers_differ_and_are_no_words_of_the_language():
    taken = set()
    for text in [*HOSTILE, *HOSTILE, "a b", "a_b", "a-b"]:
        name = identifier(text, taken)
        assert re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) and name not in taken
        assert name not in ("int", "restrict", "NULL")
        taken.add(name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_have_the_same_bits_in_c(dtype):
    rng = np.random.default_rng(0)
    bits = {"float32": np.uint32, "float64": np.uint64}[dtype]
    values = rng.integers(0, np.iinfo(bits).max, 2000, dtype=bits).view(dtype)
    values = np.concatenate([values[np.isfinite(values)], np.array([0, -0.0, 1, 1e-45, 0.1, 1e20], dtype)])
    for value, text in zip(values, numbers(values, dtype), strict=True):
        assert text.endswith("f") == (dtype == "float32") and re.search(r"[.e]", text)
        assert np.dtype(dtype).type(text.rstrip("f")).tobytes() == value.tobytes()
    assert [number(v, dtype) for v in (np.inf, -np.inf, np.nan)] == ["INFINITY", "-INFINITY", "NAN"]
    assert initializer(np.array([]), "float32") == ["{", "    0", "}"] or initializer(np.array([]), "float32")


# Arguments


def test_bad_arguments_are_refused_and_nothing_is_written(tmp_path):
    layer, other = engine(), rk.GRU(3)
    cases = [
        ((3,), {}, TypeError, "expected a layer or a model to write in C, got 3"),
        ((other,), {}, ValueError, "expected the layer 'gru' to be built before it is written in C; call build first"),
        ((layer,), {"dtype": "float16"}, (ValueError, TypeError), "float16"),
        ((layer,), {"data": np.ones((2, 5, 4))}, ValueError, r"data of shape \(batch, time, 3\), got \(2, 5, 4\)"),
        ((layer,), {"data": np.ones((0, 5, 3))}, ValueError, "at least one sequence with one step"),
        ((layer,), {"data": {"x": np.ones((2, 5, 3))}}, TypeError, "as an array, or as a list of arrays"),
    ]  # fmt: skip
    for arguments, keywords, kind, message in cases:
        with pytest.raises(kind, match=message):
            rk.export_c(*arguments, tmp_path / "new", **keywords)
    with_constants = IN_C["attention"].layer("float32")
    with pytest.raises(ValueError, match=r"takes constants; give some as constants=\[…\]"):
        rk.export_c(with_constants, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_step_that_cannot_be_traced_is_refused_with_its_line(tmp_path):
    @rk.cell(states={"h": 2})
    def decides(x, states, weights):
        (h,) = states
        if h.sum() > 0:
            h = -h
        return h, h

    layer = rk.RNN(decides())
    with rk.eager():
        layer.build((None, None, 2))
    with pytest.raises(
        ValueError, match=r"that can be traced to write it in C; that of 'rnn' \(RNN\) can't:.*if h.sum"
    ):
        rk.export_c(layer, tmp_path)


def test_a_step_that_draws_numbers_is_refused(tmp_path):
    draw = rk.Draw((2,), lambda rng, shape: rng.normal(size=shape))

    @rk.cell(states={"h": 2}, draws={"noise": draw})
    def noisy(x, states, weights, draws):
        return states[0] + draws.noise, states[0]

    layer = rk.RNN(noisy())
    layer.build((None, None, 2))
    with pytest.raises(ValueError, match="expected a step that draws no random numbers outside of training;.*'noise'"):
        rk.export_c(layer, tmp_path)


@needs_compiler
def test_another_precision_may_be_asked_for(tmp_path):
    layer = engine()
    library = Library({"wide": (layer, {"dtype": "float64"})}, tmp_path)
    x = np.random.default_rng(0).normal(size=(1, 50, 3)).astype("float32")
    got = library.sequence("wide", "float64", [((2,), True)]).run(x[0])
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, layer(x)[0], atol=1e-6)
    mixed = rk.Sequential([rk.Dense(2, dtype="float64"), rk.GRU(2, dtype="float32")], seed=0)
    mixed.build((None, None, 3))
    with pytest.raises(
        ValueError, match="expected layers of one precision, or dtype to say which C has; got float32 and"
    ):
        rk.export_c(mixed, tmp_path)
    rk.export_c(mixed, tmp_path, "mixed", dtype="float32")


@needs_compiler
def test_cells_without_features_and_ids_outside_of_the_table_are_safe(tmp_path):
    @rk.cell(states={"h": 2}, weights={"kernel": rk.Weight(("features", 2))})
    def driven(x, states, weights):
        h = np.cos(states[0] + x @ weights.kernel + 0.5)
        return h, h

    layer = rk.RNN(driven(), return_sequences=True, seed=0)
    layer.build((None, None, 0))
    words = rk.Sequential([rk.Embedding(3, 2, embeddings_initializer="ones")], seed=0)
    words.build((None, None))
    library = Library(
        {"driven": layer, "words": words}, tmp_path, ("-O1", "-fsanitize=undefined", "-fno-sanitize-recover")
    )
    want = layer(np.zeros((1, 5, 0), "float32"))[0]
    got = library.sequence("driven", "float32", [((2,), True)]).run(np.zeros((5, 0)))
    np.testing.assert_allclose(got, want, rtol=1e-6)
    ids = np.array([0, 2, 3, -1, 2**31 - 1, -(2**31)])
    got = library.sequence("words", "float32", [((2,), True)]).run(ids)
    assert got.tolist() == [[1, 1], [1, 1], [0, 0], [0, 0], [0, 0], [0, 0]]


def test_a_stateful_layer_keeps_its_states(tmp_path):
    layer = rk.GRU(3, stateful=True, return_sequences=True, seed=0)
    layer(np.ones((2, 4, 3), "float32"))
    before = layer.states
    rk.export_c(layer, tmp_path)
    assert all(np.array_equal(a, b) for a, b in zip(layer.states, before, strict=True))


def test_integers_go_into_embeddings_only(tmp_path):
    x = rk.Input((None, 3), dtype="int32")
    with pytest.raises(
        ValueError, match="expected integers to go into an Embedding only; make the Input one of floats"
    ):
        rk.export_c(rk.Model(x, rk.GRU(2)(x)), tmp_path)
