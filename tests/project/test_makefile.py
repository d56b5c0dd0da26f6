"""What the Makefile's commands promise beside running what they name."""

import os
import pathlib
import shutil
import sys

import processes
import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.skipif(os.name == "nt" or shutil.which("make") is None, reason="needs make and programs that are scripts")
@pytest.mark.parametrize("failing", [None, "--ignore=tests/onnx", "tests/contract", "tests/onnx"])
def test_every_group_of_tests_is_run_and_one_that_fails_counts(failing, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    python = programs / "python"
    python.write_text(f'#!/bin/sh\necho "$*" >> "{tmp_path}/ran"\ncase " $* " in *" {failing} "*) exit 1;; esac\n')
    python.chmod(0o755)
    command = ["make", "-o", ".venv/ready-dev", "test", "BIN=bin", f"PYTHON={sys.executable}"]
    done = processes.run([*command, "--file", ROOT / "Makefile"], cwd=tmp_path)
    ran = (tmp_path / "ran").read_text().splitlines()
    assert len(ran) == 3 and all("-m pytest -q -n 2" in line for line in ran), done.stderr
    assert (done.returncode == 0) == (failing is None)
