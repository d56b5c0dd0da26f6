"""Models in files: saved and loaded, exported to ONNX and C, taken from Keras; and the size of the package itself."""

# smoke: files.Files.track_seconds\('save'\)

import io
import pathlib
import tempfile
import zipfile

import rnnkit as rk

from .measure import Timed

KERAS = pathlib.Path(__file__).parents[2] / "tests" / "interop" / "data" / "sequence.keras"


class Files(Timed):
    """A model of an LSTM of 128 units and a Dense(1)."""

    params = ["save", "load", "export to ONNX", "export to C", "import from Keras"]
    param_names = ("what",)

    def make(self, what):
        model = rk.Sequential([rk.LSTM(128), rk.Dense(1)], seed=0)
        model.build((None, None, 8))
        self.folder = tempfile.TemporaryDirectory()
        path = pathlib.Path(self.folder.name)
        model.save(path / "model.rnnkit")
        return {
            "save": lambda: model.save(path / "model.rnnkit"),
            "load": lambda: rk.load_model(path / "model.rnnkit"),
            "export to ONNX": lambda: rk.onnx.export(model, path / "model.onnx"),
            "export to C": lambda: rk.export_c(model, path, name="model"),
            "import from Keras": lambda: rk.interop.from_keras(KERAS),
        }[what]

    def teardown(self, what):
        self.folder.cleanup()


class Package:
    """The package's files, compressed as a wheel has them."""

    unit, version = "bytes", 1

    def track_wheel(self):
        root, content = pathlib.Path(rk.__file__).parent, io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as wheel:
            for path in sorted(root.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    wheel.write(path, path.relative_to(root))
        return len(content.getvalue())
