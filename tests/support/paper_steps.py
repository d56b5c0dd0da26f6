"""The recurrences of asv_benchmarks/corpus/papers.py as cells."""

import pathlib
import runpy

import numpy as np

import rnnkit as rk

FILE = pathlib.Path(__file__).parents[2] / "asv_benchmarks" / "corpus" / "papers.py"
WIDE = runpy.run_path(str(FILE), {"np": np, "nn": rk})["PAPERS"]
