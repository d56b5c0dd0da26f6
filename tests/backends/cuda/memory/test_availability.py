"""What is said where CUDA can't be used: the package, the driver or the GPU is missing, or the process is a fork."""

import importlib.util
import os
import sys
import types
from enum import IntEnum

import processes
import pytest

import rnnkit as rk
import rnnkit.cuda  # now: it takes what the tests replace
from rnnkit.backends.cuda.memory import availability
from rnnkit.layers.support.layer_tree import all_layers


class CUresult(IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_NO_DEVICE = 100
    CUDA_ERROR_SYSTEM_DRIVER_MISMATCH = 803


@pytest.fixture
def machine(monkeypatch):
    """A function that says what this machine has: the package, and what the driver answers."""
    monkeypatch.setattr(availability, "_user", None)
    monkeypatch.setattr(availability, "simulated", lambda: False)
    find = importlib.util.find_spec

    def has(package=True, driver=CUresult.CUDA_SUCCESS, devices=1, compiler=True, kind=(9, 0)):
        def found(name, *rest):
            return (name if package else None) if name == "numba_cuda" else find(name, *rest)

        def init(flags):
            if driver is None:
                raise RuntimeError("no library of that name")
            return (driver,)

        calls = types.SimpleNamespace(CUresult=CUresult, cuInit=init, cuDeviceGetCount=lambda: (0, devices))
        monkeypatch.setattr(importlib.util, "find_spec", found)
        monkeypatch.setattr(availability, "_compiles", lambda: compiler)
        monkeypatch.setattr(availability, "all_devices", lambda: [availability.Device("One", kind, 1 << 30, 10)])
        monkeypatch.setitem(sys.modules, "cuda", types.ModuleType("cuda"))
        monkeypatch.setitem(sys.modules, "cuda.bindings", types.SimpleNamespace(driver=calls))

    return has


WANTING = {
    "package": ({"package": False}, "expected the package numba-cuda, .* pip install 'rnnkit\\[cuda12\\]'"),
    "driver": ({"driver": None}, "expected NVIDIA's driver, which can't be loaded; install"),
    "old driver": ({"driver": CUresult.CUDA_ERROR_SYSTEM_DRIVER_MISMATCH}, "driver, .*SYSTEM_DRIVER_MISMATCH; install"),
    "GPU": ({"driver": CUresult.CUDA_ERROR_NO_DEVICE}, "expected an NVIDIA GPU, .* CUDA_VISIBLE_DEVICES"),
    "devices": ({"devices": 0}, "expected an NVIDIA GPU"),
    "old GPU": ({"kind": (6, 1)}, "compute capability 7.0 or newer, got One of 6.1"),
    "compiler": (
        {"compiler": False},
        "numba-cuda with NVIDIA's compiler, .* pip install 'rnnkit\\[cuda12\\]'",
    ),
}


@pytest.mark.parametrize("case", WANTING)
def test_what_is_missing_is_said(machine, case):
    has, told = WANTING[case]
    machine(**has)
    assert not rk.cuda.is_available()
    with pytest.raises(RuntimeError, match=told):
        rk.cuda.devices()
    with pytest.raises(RuntimeError, match=told):
        rk.GRU(4, device="cuda")
    layer = rk.Sequential([rk.Bidirectional(rk.GRU(4)), rk.Dense(1)])
    with pytest.raises(RuntimeError, match=told):
        layer.to("cuda")
    assert {one.device for one in all_layers(layer)} == {"cpu"}


def test_it_is_available_where_nothing_is_missing(machine):
    machine()
    assert rk.cuda.is_available()


def test_a_broken_installation_is_not_available(machine, monkeypatch):
    machine()
    monkeypatch.setattr(availability, "simulated", lambda: 1 / 0)
    assert rk.cuda.is_available() is False


@pytest.mark.parametrize("device", ["gpu", "CUDA", None, 0])
def test_an_unknown_device(device):
    with pytest.raises(ValueError, match="expected device 'cpu' or 'cuda', got"):
        rk.LSTM(4, device=device)
    layer = rk.LSTM(4)
    with pytest.raises(ValueError, match="expected device 'cpu' or 'cuda', got"):
        layer.to(device)


def test_the_device_is_in_the_configuration_and_not_in_the_way():
    layer = rk.LSTM(4)
    assert layer.device == layer.get_config()["device"] == "cpu"
    assert "device" not in repr(layer)
    assert layer.to("cpu") is layer
    config = layer.get_config()
    del config["device"]  # of an older version
    assert rk.LSTM.from_config(config).device == "cpu"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_after_use_is_told(machine, monkeypatch):
    machine()
    availability.require()
    monkeypatch.setattr(os, "getpid", lambda: -1)  # what a child would see
    with pytest.raises(RuntimeError, match="forked from process .* 'spawn' or 'forkserver'"):
        availability.require()
    assert not rk.cuda.is_available()


def test_nothing_of_cuda_is_imported_unasked():
    code = (
        "import sys, numpy as np, rnnkit as rk\n"
        "rk.cuda\n"
        "rk.GRU(2)(np.zeros((1, 2, 3)))\n"
        "print([name for name in sys.modules if name.startswith(('numba.cuda', 'numba_cuda', 'cuda.bindings'))])"
    )
    found = processes.run([sys.executable, "-c", code], check=True)
    assert found.stdout.strip() == "[]"
