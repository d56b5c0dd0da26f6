"""Arrays and weights in files."""

import io
import json
import pathlib
import pickle
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from rnnkit.serialization.array_files import load_arrays, read_arrays, save_arrays


@pytest.fixture(params=["", ".npz", ".rnnkit", ".safetensors"])
def path(request, tmp_path):
    """A file in one format or the other, by its suffix."""
    return tmp_path / f"weights{request.param}"


def arrays_of_all_kinds(rng):
    return {
        "0/kernel": rng.normal(size=(3, 4)),
        "file": np.float32([np.nan, -0.0, np.inf]),
        "iterations": np.int64(7),
        "turned": np.asfortranarray(rng.normal(size=(4, 2))),
        "big": rng.normal(size=3).astype(">f8"),
        "empty": np.zeros((0, 3)),
        "used": np.array([True, False]),
        "names": np.array(["α", "b"]),
        "one": np.array("text"),
        "bytes": np.array([b"ab", b""]),
        "dates": np.array(["2020-01-01", "NaT"], "datetime64[D]"),
        "complex": np.array([1 + 2j]),
    }


def test_arrays_come_back_bit_for_bit(path, rng):
    arrays = arrays_of_all_kinds(rng)
    save_arrays(path, arrays, {"of": ["anything", 1, None, 0.1, "α"]})
    found, about = load_arrays(path)
    assert about == {"of": ["anything", 1, None, 0.1, "α"]}
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        array = np.asarray(array)
        assert found[name].dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
        assert found[name].shape == array.shape
        assert found[name].astype(array.dtype).tobytes() == array.tobytes()


def test_empty_text_has_no_width(path):
    save_arrays(path, {"none": np.empty((0, 2), "U5000"), "bytes": np.empty(0, "S5000")})
    found, _ = load_arrays(path)
    assert [(array.dtype.kind, array.shape) for array in found.values()] == [("U", (0, 2)), ("S", (0,))]


def test_the_same_arrays_give_the_same_bytes(path, rng):
    written = []
    for _ in range(2):
        save_arrays(path, arrays_of_all_kinds(np.random.default_rng(0)), {"b": 1, "a": 2})
        written.append(path.read_bytes())
    assert written[0] == written[1]


def test_numpy_and_safetensors_read_them(tmp_path):
    kinds = ("?", "i1", "u2", "i4", "u8", "f2", "f4", "f8")
    arrays = {f"0/{kind}": np.arange(-5, n).astype(kind) for n, kind in enumerate(kinds)}
    arrays |= {"scalar": np.array(2, "f4"), "empty": np.zeros((0, 3)), "0/kernel": np.eye(3)}
    save_arrays(tmp_path / "a", arrays)
    with np.load(tmp_path / "a", allow_pickle=False) as archive:
        assert archive["0/kernel"].tolist() == np.eye(3).tolist()
    library = pytest.importorskip("safetensors.numpy")
    save_arrays(tmp_path / "a.safetensors", arrays)
    found = library.load_file(tmp_path / "a.safetensors")
    assert same(found, arrays)
    library.save_file(arrays, tmp_path / "theirs.safetensors")
    theirs, about = read_arrays(tmp_path / "theirs.safetensors")
    assert about is None and same(theirs, arrays)
    theirs["0/kernel"][0] = 7  # arrays of one's own


def test_what_a_file_is_its_bytes_say(tmp_path):
    save_arrays(tmp_path / "a.npz", {"a": np.ones(2)}, {"in": "a zip"})
    save_arrays(tmp_path / "a.rnnkit", {"a": np.ones(2)}, {"in": "tensors"})
    (tmp_path / "a.npz").rename(tmp_path / "b.safetensors")
    (tmp_path / "a.rnnkit").rename(tmp_path / "b.npz")
    assert load_arrays(tmp_path / "b.safetensors")[1] == {"in": "a zip"}
    assert load_arrays(tmp_path / "b.npz")[1] == {"in": "tensors"}


def test_objects_are_refused_and_leave_the_file_as_it_was(tmp_path):
    path = tmp_path / "a"
    save_arrays(path, {"a": np.ones(2)})
    before = path.read_bytes()
    with pytest.raises(ValueError, match="'b', got an array of objects"):
        save_arrays(path, {"a": np.zeros(2), "b": np.array([{}])})
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


def same(found, arrays):
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in found.items()} == {
        name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()
    }


def test_T14_every_damage_is_an_error_that_names_the_file(path, rng):
    """A file in which something is another byte is refused, or it holds what was written all the same."""
    save_arrays(path, {"kernel": rng.normal(size=(3, 4)), "bias": np.zeros(5)}, {"layer": {"units": 12, "leak": 0.3}})
    whole, (arrays, about) = path.read_bytes(), load_arrays(path)
    for length in range(0, len(whole), 5):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=path.name):
            load_arrays(path)
    refused = []
    for _ in range(1000):
        changed = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            start, length = rng.integers(len(whole)), rng.integers(1, 5)
            kind = rng.integers(4)
            new = rng.bytes(length) if kind < 2 else b"" if kind == 2 else bytes(changed[:length])
            changed[start : start + (0 if kind == 1 else length)] = new
        if changed == whole:
            continue
        path.write_bytes(changed)
        try:
            found, said = load_arrays(path)
        except ValueError as error:
            refused.append(str(error))
        else:  # a byte may stand for a date or a flag that nobody reads
            assert same(found, arrays) and said == about
    assert len(refused) > 600 and all(path.name in text for text in refused)


def test_T14_what_a_file_declares_takes_no_memory(tmp_path):
    shapes = [[1 << 40], [1 << 20, 1 << 20], [-1], [1 << 70], ["3"], [None], {"a": 1}, [True], [3]]
    path = tmp_path / "hostile.npz"
    hostile = []
    for shape in shapes:
        header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 8]}}).encode()
        hostile.append(len(header).to_bytes(8, "little") + header + bytes(8))
        text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple(shape)}, }}\n".encode()
        entry = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(8)
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as written:
            written.writestr("rnnkit.json", '{"format": 1, "arrays": ["a"], "about": {}}')
            written.writestr("a.npy", entry)
        hostile.append(archive.getvalue())
    for wide in ("<U400000000", "|S1600000000", "|V1600000000"):
        text = f"{{'descr': '{wide}', 'fortran_order': False, 'shape': (0,), }}\n".encode()
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as written:
            written.writestr("rnnkit.json", '{"format": 1, "arrays": ["a"], "about": {}}')
            written.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
        hostile.append(archive.getvalue())
        said = {"format": 1, "arrays": {"a": [wide, [0]]}, "about": {}}
        said["checksum"] = zlib.crc32(json.dumps(said).encode())
        empty = '"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
        hostile.append(tensors(json.dumps({"__metadata__": {"rnnkit": json.dumps(said)}})[:-1] + f",{empty}}}", b""))
    hostile += [(1 << 62).to_bytes(8, "little") + b"{}", b"\xff" * 8 + b"{}", b"{}", b"PK", b""]
    tracemalloc.start()
    try:
        for content in hostile:
            path.write_bytes(content)
            with pytest.raises(ValueError, match="hostile"):
                load_arrays(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def tensors(header, data=bytes(8)):
    header = header.encode()
    return len(header).to_bytes(8, "little") + header + data


ONE = '"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
SAID = {"format": 1, "arrays": {"a": ["<f4", [2]]}, "about": {}}


@pytest.mark.parametrize(
    "content, words",
    [
        (tensors(f"{{{ONE},{ONE}}}"), "names 'a' twice"),
        (tensors(f'{{{ONE},"b":NaN}}'), "holds NaN"),
        (tensors("[" * 100_000), "nests its values too deeply"),
        (tensors("[1]"), "has no header"),
        (tensors(ONE.replace("F32", "BF16").join("{}")), "as BF16, which NumPy doesn't have"),
        (tensors(ONE.replace("F32", "OBJECT").join("{}")), "as OBJECT"),
        (tensors(ONE.replace("[0,8]", "[4,12]").join("{}"), bytes(12)), "doesn't hold 'a' behind the array before it"),
        (tensors(f"{{{ONE},{ONE.replace('a', 'b', 1)}}}"), "doesn't hold 'b' behind the array before it"),
        (tensors(ONE.join("{}"), bytes(9)), "holds other bytes than it declares"),
        (tensors(ONE.join("{}"), bytes(7)), "holds other bytes than it declares"),
        (tensors(json.dumps({"__metadata__": {"rnnkit": "{"}})[:-1] + f",{ONE}}}"), "damaged"),
        (tensors(json.dumps({"__metadata__": {"rnnkit": "[]"}})[:-1] + f",{ONE}}}"), "says nothing of itself"),
        (tensors(json.dumps({"__metadata__": {"rnnkit": json.dumps(SAID)}})[:-1] + f",{ONE}}}"), "another checksum"),
        (
            tensors(json.dumps({"__metadata__": {"rnnkit": json.dumps(SAID | {"format": 2})}})[:-1] + f",{ONE}}}"),
            "of format 2, which a later rnnkit wrote",
        ),
        (
            tensors(json.dumps({"__metadata__": {"rnnkit": json.dumps(SAID | {"arrays": {}})}})[:-1] + f",{ONE}}}"),
            "declares other arrays than it holds: a",
        ),
    ],
)
def test_T14_hostile_tensors(tmp_path, content, words):
    path = tmp_path / "hostile.rnnkit"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        load_arrays(path)
    assert "hostile.rnnkit" in str(caught.value)


def test_T14_hostile_archives(tmp_path):
    path = tmp_path / "hostile.npz"
    about = '{"format": 1, "arrays": ["a"], "about": {}}'
    entry = io.BytesIO()
    np.save(entry, np.zeros(1 << 20))

    def refused(words, *entries, **keywords):
        with zipfile.ZipFile(path, "w", **keywords) as archive:
            for name, content in entries:
                archive.writestr(name, content)
        with pytest.raises(ValueError, match=words) as caught:
            load_arrays(path)
        assert "hostile.npz" in str(caught.value)

    bomb = ("rnnkit.json", about), ("a.npy", entry.getvalue())
    refused("is compressed", *bomb, compression=zipfile.ZIP_DEFLATED)
    with pytest.warns(UserWarning, match="Duplicate"):
        refused("two entries of one name", *bomb, bomb[1])
    refused("no item named 'a.npy'", bomb[0])
    refused("names 'format' twice", ("rnnkit.json", '{"format": 1, "format": 1}'), bomb[1])
    refused("what no file of this format says", ("rnnkit.json", '{"format": 1, "arrays": ["a"], "about": [1]}'))
    refused("holds NaN", ("rnnkit.json", '{"format": 1, "arrays": [], "about": {"leak": NaN}}'))
    refused("objects as 'a'", bomb[0], ("a.npy", pickled()))
    # A name that points elsewhere is a name: nothing is ever written where it says.
    save_arrays(path, {"../../elsewhere": np.ones(2)})
    assert load_arrays(path)[0]["../../elsewhere"].tolist() == [1, 1]
    assert [one.name for one in tmp_path.iterdir()] == ["hostile.npz"]


def pickled():
    entry = io.BytesIO()
    np.lib.format.write_array(entry, np.array([pathlib.Path()]), allow_pickle=True)
    return entry.getvalue()


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "foreign"
    path.write_bytes(pickle.dumps({"kernel": [1]}))
    with pytest.raises(ValueError, match="damaged or another's"):
        load_arrays(path)
    with open(path, "wb") as file:
        np.savez(file, kernel=np.ones(3))
    with pytest.raises(ValueError, match="says nothing of itself"):
        load_arrays(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rnnkit.json", '{"format": 99, "about": {}}')
    with pytest.raises(ValueError, match="of format 99"):
        load_arrays(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rnnkit.json", '{"format": 1, "arrays": ["a"], "about": {}}')
        with archive.open("a.npy", "w") as entry:
            np.lib.format.write_array(entry, np.array([pathlib.Path()]), allow_pickle=True)
    with pytest.raises(ValueError, match="damaged or another's"):
        load_arrays(path)
    with pytest.raises(FileNotFoundError):
        load_arrays(tmp_path / "nowhere")


def test_a_folder_is_needed(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        save_arrays(tmp_path / "no" / "a", {})
    with pytest.raises(IsADirectoryError, match="is a directory"):
        save_arrays(tmp_path, {})
