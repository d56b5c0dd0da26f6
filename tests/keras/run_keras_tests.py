"""Run Keras's own tests on ``rnnkit.keras``, and print the tables of docs/from-keras.md.

``python tests/keras/run_keras_tests.py --keras CHECKOUT`` takes the tests from a checkout of Keras 3.15.1, of which no
other file is read; ``layers/rnn callbacks`` behind it runs only these. It needs pytest, absl-py and tensorboardX.

Modules of the names ``keras`` and ``keras.src…`` stand for those of `rnnkit.keras`: names are looked up there, and one
that is lacking is an error where it is used, so that each test fails by itself. Errors are compared by class, and not
by words.
"""

import argparse
import builtins
import contextlib
import importlib
import inspect
import itertools
import json
import os
import re
import shutil
import struct
import sys
import tempfile
import types
from collections import Counter
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from absl.testing import parameterized

sys.path.insert(0, str(Path(__file__).parents[2]))

from rnnkit import keras
from rnnkit.keras import settings
from rnnkit.keras.left_out import LeftOut

AREAS = "layers/rnn callbacks optimizers initializers layers/layer_test models metrics losses".split()

# Why a test doesn't apply: what it uses when it runs, or what its source and its parameters say.
LEFT_OUT = "a name that is left out"  # an error by rnnkit.keras, which says what to do instead
INTERNAL = "a function that Keras doesn't export"  # no script has it
LIBRARY = "another library"  # arrays of jax, TensorFlow's files
PRIVATE = "private attributes of Keras's objects"  # how Keras works, not what it gives
SKIPPED = "skipped with jax"
BY_SOURCE = {
    "quantization": r"[Qq]uantiz",
    "half precision": r"float16|float8",  # rnnkit has float32 and float64
    "export": r"\.export\(",
    LEFT_OUT: r"'(ftrl|adafactor)'|rematerialized",  # by text
}
LIBRARIES = ("jax", "tensorflow", "torch", "flax", "orbax", "requests", "openvino")

used: list[tuple[str, str]] = []  # rules that the test which runs has come under, with what it used


class Lacking(LeftOut):
    """A name of Keras's sources that Keras doesn't export and rnnkit.keras hasn't."""


def note_uses(kind: type, method: str) -> None:
    """Note each use of a name that isn't there."""
    plain = getattr(kind, method)

    def noted(self, *arguments, **keywords):
        if not (method == "__getattr__" and arguments[0].startswith("__")):
            used.append((rule_of(self), self._message.split(" ")[0]))
        return plain(self, *arguments, **keywords)

    setattr(kind, method, noted)


def rule_of(lacking: LeftOut) -> str:
    """The rule that a test comes under which uses this."""
    return INTERNAL if isinstance(lacking, Lacking) else LEFT_OUT


def build_class(function, name, *bases, plain=builtins.__build_class__, **keywords):
    """Make a class; one that is refused is an error where it is used."""
    try:
        return plain(function, name, *bases, **keywords)
    except NotImplementedError as error:
        refusal = error

    def refused(cls, *arguments, **keywords):
        raise refusal

    return type(name, (), {"__new__": refused, "__module__": function.__module__})


class StandIn(types.ModuleType):
    """A module of Keras's sources, by the names of ``rnnkit.keras``."""

    __path__ = ()

    def __getattr__(self, name):
        if name.startswith(("__", "pytest", "setup", "setUp", "teardown", "tearDown")):  # pytest asks for these
            raise AttributeError(name)
        if name in (extra := EXTRAS.get(self.__name__.removeprefix("keras.src."), {})):
            return extra[name]
        if self.__name__.startswith("keras.src") and is_module(f"{self.__name__}.{name}"):
            return importlib.import_module(f"{self.__name__}.{name}")
        path, places = self.__name__.removeprefix("keras").removeprefix(".src").split(".")[1:], [keras]
        for part in path:
            if isinstance(place := getattr(places[0], part, None), types.ModuleType | types.SimpleNamespace):
                places.insert(0, place)
        for place in places:
            with contextlib.suppress(AttributeError):
                return getattr(place, name)
        return Lacking(".".join([*path, name]), "it is a part of Keras's own machinery")


class Library(types.ModuleType):
    """A library that test files import and that isn't called."""

    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Library(name)

    def __call__(self, *arguments, **keywords):
        used.append((LIBRARY, self.__name__))
        raise ModuleNotFoundError(self.__name__)


class Finder:
    """Finds stand-ins for modules of Keras and of other libraries, and Keras's test files themselves."""

    checkout = Path()
    modules: ClassVar[dict[str, dict]] = {}  # names that modules have
    running = False  # from where tests are collected on, an import of another library is an error of the test

    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if name in ("keras", "keras.src", "conftest") or (top == "keras" and is_module(name)):
            file = self.checkout / (name.replace(".", "/") + ".py")
            return spec_from_file_location(name, file) if name.endswith("_test") else ModuleSpec(name, self)
        if top in LIBRARIES:
            if self.running:
                used.append((LIBRARY, top))
                raise ModuleNotFoundError(name)
            return ModuleSpec(name, self)
        return None

    def create_module(self, spec):
        made = (StandIn if spec.name.startswith("keras") else Library)(spec.name)
        vars(made).update(self.modules.get(spec.name, {}))
        return made

    def exec_module(self, module):
        pass


def is_module(name: str) -> bool:
    """Whether Keras's sources have a module of this name."""
    path = Finder.checkout / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


class TestCase(parameterized.TestCase):
    """The assertions of Keras's TestCase."""

    def setUp(self):
        keras.utils.clear_session()
        settings._Settings.seeds = None  # Keras's clear_session forgets the seed, too

    def get_temp_dir(self):
        made = tempfile.mkdtemp()
        self.addCleanup(lambda: shutil.rmtree(made))
        return made

    def assertAllClose(self, actual, desired, atol=1e-6, rtol=1e-6, tpu_atol=None, tpu_rtol=None, msg=""):
        np.testing.assert_allclose(as_array(actual), as_array(desired), atol=atol, rtol=rtol, err_msg=msg or "")

    def assertNotAllClose(self, x1, x2, atol=1e-6, rtol=1e-6, msg=None):
        with pytest.raises(AssertionError):
            self.assertAllClose(x1, x2, atol, rtol)

    def assertAlmostEqual(self, actual, desired, decimal=3, tpu_decimal=None, msg=""):
        np.testing.assert_almost_equal(as_array(actual), as_array(desired), decimal, err_msg=msg or "")

    def assertAllEqual(self, actual, desired, msg=""):
        np.testing.assert_array_equal(as_array(actual), as_array(desired), err_msg=msg or "")

    def assertLen(self, iterable, expected_len, msg=None):
        assert len(iterable) == expected_len, msg

    def assertDType(self, x, dtype, msg=None):
        given = keras.backend.standardize_dtype(getattr(x, "dtype", type(x)))
        assert given == keras.backend.standardize_dtype(dtype), msg

    def assertRaisesRegex(self, kind, expected_regex=None, *arguments, **keywords):
        """Errors are compared by class: rnnkit says them in its own words."""
        return self.assertRaises(kind, *arguments, **keywords)  # noqa: PT027  # what the tests call

    def assertWarnsRegex(self, kind, expected_regex=None, *arguments, **keywords):
        return self.assertWarns(kind, *arguments, **keywords)

    def run_class_serialization_test(self, instance, custom_objects=None):
        """An object comes back from its configuration, and from what it is serialized to, through JSON."""
        config = as_json(instance.get_config())
        with keras.saving.custom_object_scope(custom_objects or {}):
            again = type(instance).from_config(instance.get_config())
            assert as_json(again.get_config()) == config
            serialized = json.loads(as_json(keras.saving.serialize_keras_object(instance)), object_hook=with_tuples)
            revived = keras.saving.deserialize_keras_object(serialized)
        assert as_json(revived.get_config()) == config
        return revived

    def run_layer_test(
        self,
        layer_cls,
        init_kwargs,
        input_shape,
        call_kwargs=None,
        custom_objects=None,
        run_training_check=True,
        **told,
    ):
        """A layer's configuration, its weights when built, a symbolic call, one on arrays, and a batch of training.

        Weights are counted as variables, `layer.weights` being a mapping. `supports_masking` isn't asked for, since
        layers of rnnkit haven't such an attribute, nor seeds, which are no variables.
        """
        made, call_kwargs = lambda: layer_cls(**init_kwargs), call_kwargs or {}
        self.run_class_serialization_test(made(), custom_objects)
        x = (np.random.default_rng(0).uniform(size=input_shape) * 3).astype("float32")

        def check(layer, output=None):
            assert layer.built
            assert len(layer.trainable_variables) == told["expected_num_trainable_weights"]
            assert len(layer.non_trainable_variables) == told["expected_num_non_trainable_weights"]
            if output is not None:
                assert tuple(output.shape) == told["expected_output_shape"]

        layer = made()
        layer.build(input_shape)
        check(layer)
        layer = made()
        check(layer, layer(keras.KerasTensor(input_shape), **call_kwargs))
        layer = made()
        output = layer(x, **call_kwargs)
        check(layer, output)
        if "expected_num_losses" in told:
            assert len(layer.losses) == told["expected_num_losses"]
        if run_training_check:
            trained(layer, x, output)


def trained(layer, data, output) -> None:
    """Train a layer for one batch."""

    class Around(keras.Model):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def call(self, x, training=False):
            return self.layer(x, training=training)

    model = Around()
    model.compile(optimizer="sgd", loss=lambda y_true, y_pred: keras.ops.sum(y_pred))
    model.fit(itertools.repeat((data, output)), steps_per_epoch=1, verbose=0)


def as_array(x):
    """The numbers of an array, a variable or a list."""
    return x.numpy() if hasattr(x, "numpy") else np.array(x)


def as_json(value) -> str:
    """A configuration as text, with tuples kept apart from lists."""

    def kept(x):
        if isinstance(x, tuple):
            return {"__tuple__": [kept(one) for one in x]}
        if isinstance(x, list):
            return [kept(one) for one in x]
        return {key: kept(one) for key, one in x.items()} if isinstance(x, dict) else x

    return json.dumps(kept(value), sort_keys=True)


def with_tuples(value: dict):
    """Back from `as_json`."""
    return tuple(value["__tuple__"]) if "__tuple__" in value else value


def records(path: str):
    """The records of a file of TensorBoard's."""
    data, at = Path(path).read_bytes(), 0
    while at < len(data):
        (size,) = struct.unpack_from("<Q", data, at)
        yield data[at + 12 : at + 12 + size]
        at += size + 16


def classes_of_rows(train_samples, test_samples, input_shape, num_classes, random_seed=None):
    """Rows around a centre for each class, as Keras's tests of training have them."""
    draw = np.random.default_rng(random_seed)
    centres = 2 * num_classes * draw.random((num_classes, *input_shape))

    def part(rows):
        y = draw.permutation(np.arange(rows) % num_classes)
        return (centres[y] + draw.normal(size=(rows, *input_shape))).astype("float32"), y

    return part(train_samples), part(test_samples)


def named_product(**values):
    """Cases of parameterized tests with names."""
    for case in itertools.product(*values.values()):
        yield {"testcase_name": "_" + "_".join(map(str, case)), **dict(zip(values, case, strict=True))}


# What Keras's sources have and its interface hasn't, where it is easily said.
EXTRAS = {
    "testing": {"TestCase": TestCase, **dict.fromkeys(["jax_uses_gpu", "tensorflow_uses_gpu"], lambda: False)},
    "dtype_policies.dtype_policy": {
        "dtype_policy": keras.config.dtype_policy,
        "set_dtype_policy": keras.config.set_dtype_policy,
    },
    "utils.file_utils": {"join": os.path.join, "exists": os.path.exists},
    "testing.test_utils": {"get_test_data": classes_of_rows, "named_product": named_product},
    "backend": {
        "backend": lambda: "jax",
        "convert_to_numpy": as_array,
        "numpy": keras.ops,
        "name_scope": lambda *arguments, **keywords: contextlib.nullcontext(),
        "SUPPORTS_SPARSE_TENSORS": True,
        "SUPPORTS_COMPLEX_DTYPES": True,
    },
}


def library_modules() -> dict[str, dict]:
    """What test files take from other libraries when they are imported."""
    from tensorboardX.proto import event_pb2, summary_pb2

    return {
        "conftest": {"skip_if_backend": lambda name, reason: pytest.mark.skipif(name == "jax", reason=reason)},
        "tensorflow.compat.v1": {"SummaryMetadata": summary_pb2.SummaryMetadata},
        "tensorflow.core.util": {"event_pb2": event_pb2},
        "tensorflow.python.lib.io": {"tf_record": types.SimpleNamespace(tf_record_iterator=records)},
    }


class Counting:
    """Counts what pytest runs."""

    def __init__(self):
        self.rule, self.what, self.failure = {}, {}, {}  # by test
        self.passed, self.broken = set(), []

    def pytest_collectreport(self, report):
        if report.failed:
            self.broken.append(f"{report.nodeid}: {report.longrepr}")

    def pytest_collection_finish(self):
        Finder.running = True
        builtins.__build_class__ = build_class.__kwdefaults__["plain"]
        for name in [name for name in sys.modules if name.split(".")[0] in LIBRARIES]:
            if isinstance(sys.modules[name], Library):
                del sys.modules[name]

    def pytest_runtest_setup(self, item):
        used.clear()
        module, plain = item.module, inspect.unwrap(item.function)
        source = item.name + getattr(item.function, "__x_params_repr__", "")
        file, parts, seen = inspect.getsource(module), [inspect.getsource(plain)], set()
        while parts:  # with the classes and functions of the file that it uses
            source += parts[-1]
            for name in sorted(set(re.findall(r"\w+", parts.pop())) - seen):
                seen.add(name)
                one = vars(module).get(name)
                if isinstance(one, LeftOut):
                    used.append((rule_of(one), name))
                elif inspect.isroutine(one) or inspect.isclass(one):
                    with contextlib.suppress(OSError, TypeError):  # which have no source
                        parts += [inspect.getsource(one)] * (one.__module__ == module.__name__)
        rules = [rule for rule, pattern in BY_SOURCE.items() if re.search(pattern, source)]
        for name in re.findall(r"\w\.(_[a-z]\w*)", source):
            if not re.search(rf"(\.{name} = |def {name}\()", file):
                rules.append(PRIVATE)
                self.what[item.nodeid] = name
        self.rule[item.nodeid] = next(iter(rules), "")

    def pytest_runtest_logreport(self, report):
        one = report.nodeid
        if report.skipped:
            self.rule[one] = SKIPPED
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            self.failure[one] = str(getattr(crash, "message", report.longrepr))
        if report.when == "call" and report.passed:
            self.passed.add(one)
        if used and not self.rule[one]:
            self.rule[one] = used[0][0]
            self.what[one] = used[0][1]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keras", required=True, type=Path, help="a checkout of Keras 3.15.1")
    parser.add_argument("areas", nargs="*", help=f"of {', '.join(AREAS)}; all of them if none is given")
    parser.add_argument("-k", default="", help="only tests whose names have this, as pytest's -k")
    parser.add_argument("--why", action="store_true", help="list also which tests don't apply")
    given = parser.parse_args()
    areas = given.areas or AREAS
    Finder.checkout = checkout = given.keras.resolve()
    Finder.modules = library_modules()
    sys.meta_path.insert(0, Finder())
    for method in ("__call__", "__getattr__", "__mro_entries__"):
        note_uses(LeftOut, method)
    builtins.__build_class__ = build_class
    pytest.raises = lambda kind, *arguments, match=None, plain=pytest.raises: plain(kind, *arguments)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    counted = Counting()
    patterns = [f"{area}.py" if area.endswith("_test") else f"{area}/**/*_test.py" for area in areas]
    files = [str(file) for pattern in patterns for file in sorted((checkout / "keras/src").glob(pattern))]
    options = f"-q --tb=short --noconftest --assert=plain --show-capture=no -p no:cacheprovider -c {os.devnull}".split()
    options += [f"--rootdir={checkout}", "-k", given.k]
    pytest.main([*options, *files], plugins=[counted])
    report(counted, areas, given.why)


def report(counted: Counting, areas: list[str], why: bool) -> None:
    """Print the table, the number of tests under each rule, and the tests that don't pass."""
    print("\n| tests of | passed | apply | in all |\n|---|---|---|---|")
    for area in areas:
        here = {one for one in counted.rule if f"src/{area}" in one}
        apply = {one for one in here if not counted.rule[one]}
        print(f"| `{area}` | {len(counted.passed & apply)} | {len(apply)} | {len(here)} |")
    print("\n| not applying, because of | tests |\n|---|---|")
    for rule, count in Counter(filter(None, counted.rule.values())).most_common():
        print(f"| {rule} | {count} |")
    print("\nnot passed:")
    for one, rule in counted.rule.items():
        if not rule and one not in counted.passed:
            print(f"- {shown(one)}: {' '.join(counted.failure[one].split())[:200]}")
    if why:
        print("\nnot applying:")
        for one, rule in filter(lambda item: item[1], counted.rule.items()):
            passes = " (passes)" if one in counted.passed else ""
            print(f"- {shown(one)}: {rule} {counted.what.get(one, '')}{passes}")
    for one in counted.broken:
        print("not imported:", one)


def shown(test: str) -> str:
    """The file and the name of a test."""
    file, _, name = test.partition("src/")[2].partition("::")
    return f"{file.removesuffix('_test.py')} {name.replace('::test_', '.')}"


if __name__ == "__main__":
    main()
