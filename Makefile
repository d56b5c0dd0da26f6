# Each of these is the only command needed after a clone; what it needs goes into .venv, built again when
# pyproject.toml changes. On Windows the programs of a virtual environment lie elsewhere: make BIN=.venv/Scripts demo
BIN := .venv/bin
CUDA := $(subst .venv,.venv-cuda,$(BIN))

# The threads of a linear algebra library wait by spinning, which costs a busy machine dearly; nothing here needs them.
export OPENBLAS_NUM_THREADS := 1

# The first Python on the path that is 3.11 or newer and can make a virtual environment.
ifndef PYTHON
PYTHON := $(shell for name in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	$$name -c 'import sys, venv, ensurepip; assert sys.version_info >= (3, 11)' 2>/dev/null && echo $$name && break; done)
endif

.PHONY: help demo demo-cluster test test-cluster test-cuda test-all test-oldest test-newest test-release lint bench bench-spread bench-compare bench-find bench-history bench-noise bench-cluster bench-smoke instructions instructions-renew docs dist clean

help:
	@echo "make demo         forecast the two bundled series and draw demo/forecast.png"
	@echo "make demo-cluster predict more data than memory holds, from disk to disk, on a cluster of Dask"
	@echo "make test         run the tests"
	@echo "make test-cluster run those of workers that die, of fits and of panels on a cluster of Dask"
	@echo "make test-cuda    run those of CUDA, which need no GPU"
	@echo "make test-all     run the long ones too, an hour or more"
	@echo "make test-oldest  run the tests with the oldest dependencies that are accepted, on Python $(OLDEST)"
	@echo "make test-newest  run them with the newest, on the newest Python here"
	@echo "make lint         ruff, mypy and codespell"
	@echo "make bench        time the last commit with asv, seven minutes"
	@echo "make bench-spread time it five times so, and tell how far these lie apart"
	@echo "make bench-compare BASE=main  find what is slower than there"
	@echo "make bench-find BASE=v0.1.0 BENCH=LSTM  find the commit that made it slower"
	@echo "make bench-history measure releases and a commit of each day, and write their pages"
	@echo "make instructions count those of some calls under valgrind, and hold them to a table"
	@echo "make bench-noise  make bench-cluster  time it on busy hosts, and on workers of Dask"
	@echo "make docs         run the examples of the pages, and build these into site/"
	@echo "make dist         build the wheel and the sdist into dist/, and check them"
	@echo "make test-release install these as users do, and check the types with pyright"
	@echo "make clean        remove what these commands made"

# What a user has: the package with its pictures and progress bars.
.venv/ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "rnnkit needs Python 3.11 or newer with its venv module"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[plots,progress]'
	@touch $@

# What a developer has on top.
.venv/ready-dev: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: .venv/ready
	@mkdir -p demo
	$(BIN)/rnnkit forecast --output demo/forecast.csv --plot demo/forecast.png

# What a user of Dask has, with its dashboard.
.venv/ready-cluster: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dask]' 'dask[diagnostics]'
	@touch $@

demo-cluster: .venv/ready-cluster
	$(BIN)/python asv_benchmarks/compare/on_dask.py zarr --gigabytes 2 --workers 2 --memory 600MB --chunk 64 2048

# All cases of all tests. On a slow machine, make test EVERY=4 runs every fourth of those over cells, masks and sizes, in
# each test others, so that between them they take all cells and all kinds of calls; what has few cases it runs whole.
EVERY := 1
# By themselves: what is compiled stays in a process's memory, and so do scikit-learn, ONNX Runtime and Dask.
COMPILING := tests/backends tests/compiler tests/contract tests/execution
EXTRAS := tests/distributed tests/onnx tests/sklearn rnnkit

# All of them, by an interpreter, with options. Every group is run, whatever was found in one before it.
define run-tests
	@failed=0; \
	group() { echo "$(1)/python -m pytest $(2) $$*"; $(1)/python -m pytest -q -n 2 --dist worksteal $(2) "$$@" || failed=1; }; \
	group $(addprefix --ignore=,$(COMPILING) $(EXTRAS)); \
	group $(COMPILING); \
	group $(EXTRAS); \
	exit $$failed
endef

test: export RNNKIT_TEST_EVERY = $(EVERY)
test: .venv/ready-dev
	$(call run-tests,$(BIN))

# On a cluster of processes, whose starts and deaths take their time.
test-cluster: .venv/ready-dev
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "cluster and not sweep" tests/distributed

# What runs with a card, on numba's simulator of one and by compiling for those that there are. Not in .venv: rnnkit has
# to be whole without.
.venv-cuda/ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "rnnkit needs Python 3.11 or newer with its venv module"; exit 1; }
	$(PYTHON) -m venv --clear .venv-cuda
	$(CUDA)/python -m pip install --quiet --disable-pip-version-check --editable '.[test-cuda]'
	@touch $@

ON_CUDA := $(wildcard tests/backends/cuda/test_*.py tests/backends/cuda/*/test_*.py)
OWN := tests/contract/test_contract_device.py tests/project/test_on_cuda.py $(ON_CUDA)
CONTRACT := $(filter-out $(OWN),$(wildcard tests/contract/test_*.py))
COVERED := --cov --cov-append --cov-report=
# Without the simulator.
COMPILED := $(addprefix tests/backends/cuda/,$(addprefix device/,test_intrinsics.py test_value.py) \
	codegen/test_kernel_source.py codegen/test_row_kernel.py memory/test_driver.py memory/test_availability.py)

# The simulator and the compiler of kernels take their time: EVERY=12 runs every twelfth case.
test-cuda: export NUMBA_ENABLE_CUDASIM = 1
test-cuda: export RNNKIT_TEST_EVERY = $(EVERY)
test-cuda: .venv-cuda/ready
	@rm -f .coverage
	RNNKIT_TEST_DEVICE=cuda $(CUDA)/python -m pytest -q -n 2 --dist worksteal $(CONTRACT)
	$(CUDA)/python -m pytest -q -n 2 --dist worksteal $(COVERED) $(filter-out tests/backends/cuda/device/test_value.py,$(OWN))
	NUMBA_ENABLE_CUDASIM=0 $(CUDA)/python -m pytest -q -n 2 --dist worksteal $(COVERED) $(COMPILED)
	@$(CUDA)/coverage report

# What takes too long for every change: all cells compiled in both precisions, thousands of random ones, every case on
# the simulator.
test-all: .venv/ready-dev
	$(call run-tests,$(BIN),-m "sweep or not sweep")
	$(MAKE) test-cuda EVERY=1

# SPEC 0: the lower bounds of pyproject.toml on the oldest Python that it accepts, and what is newest on the newest Python.
OLDEST := $(shell sed -n 's/^requires-python = ">=\(.*\)"/\1/p' pyproject.toml)
NEWEST := $(shell for name in python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import venv, ensurepip' 2>/dev/null && echo $$name && break; done)

ON_OLDEST := $(subst .venv,.venv-oldest,$(BIN))
ON_NEWEST := $(subst .venv,.venv-newest,$(BIN))

.venv-oldest/ready: pyproject.toml
	@python$(OLDEST) -c 'import venv, ensurepip' || { echo "make test-oldest needs Python $(OLDEST) with its venv module"; exit 1; }
	python$(OLDEST) -m venv --clear .venv-oldest
	$(ON_OLDEST)/python tests/support/oldest_versions.py > .venv-oldest/constraints.txt
	$(ON_OLDEST)/python -m pip install --quiet --disable-pip-version-check \
		--constraint .venv-oldest/constraints.txt --editable '.[test]'
	@touch $@

.venv-newest/ready: pyproject.toml
	$(NEWEST) -m venv --clear .venv-newest
	$(ON_NEWEST)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

# What old packages say of newer ones beside them is no fault of rnnkit's.
test-oldest: export RNNKIT_TEST_EVERY = $(EVERY)
test-oldest: .venv-oldest/ready
	$(call run-tests,$(ON_OLDEST),-W ignore::DeprecationWarning)

test-newest: export RNNKIT_TEST_EVERY = $(EVERY)
test-newest: .venv-newest/ready
	$(call run-tests,$(ON_NEWEST))

lint: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/project/typed_use.py
	$(BIN)/codespell

# Speed over commits. asv makes environments of its own in asv_benchmarks/env: what isn't committed is not measured.
TRACK = $(BIN)/python asv_benchmarks/track.py

# The last commit, the least of several runs, some seven minutes on two cores. The pages, asv_benchmarks/html/index.html,
# need no network.
bench: .venv/ready-dev
	$(TRACK) run
	$(TRACK) publish

# How far the figures of five times `make bench` lie apart, some 35 minutes: the median, 95 %, and those above 10 %.
bench-spread: .venv/ready-dev
	$(TRACK) spread --bench "$(BENCH)"

# Fails where the last commit is slower than another one, and says where: make bench-compare BASE=main
BASE := HEAD^
BENCH := .
bench-compare: .venv/ready-dev
	$(TRACK) compare $(BASE) --bench "$(BENCH)"

# The commit after a base that made a benchmark slower: make bench-find BASE=v0.1.0 BENCH='forward.Cells.*LSTM'
bench-find: .venv/ready-dev
	$(TRACK) find $(BASE) --bench "$(BENCH)"

# Releases and the last commit of each day, or every n-th one: make bench-history NTH=20. Results are kept by git.
NTH := 0
bench-history: .venv/ready-dev
	$(TRACK) history --every $(NTH)

# Hosts that take the CPU away, and workers of Dask: their figures go to the page on performance, not over commits.
bench-noise: .venv/ready-dev
	$(BIN)/python asv_benchmarks/compare --rounds 3 --only noisy noisy-gradients

bench-cluster: .venv/ready-dev
	$(BIN)/python asv_benchmarks/compare --rounds 3 --only dask-workers dask-chunks

# Instructions of some calls, which noise doesn't touch, held to asv_benchmarks/instructions.json; needs valgrind.
instructions: .venv/ready-dev
	$(BIN)/python asv_benchmarks/instructions.py

instructions-renew: .venv/ready-dev
	$(BIN)/python asv_benchmarks/instructions.py --renew

# One case of each file, run once with what is installed here: they work, whatever they measure.
bench-smoke: .venv/ready-dev
	$(TRACK) smoke

.venv/ready-docs: .venv/ready-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

# Needs no network once its tools are there. The gallery's examples run once; make docs GALLERY=0 leaves them out.
GALLERY := 1
docs: .venv/ready-docs
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "docs and not sweep" tests/project
	$(BIN)/python -m sphinx -W --keep-going -q -D plot_gallery=$(GALLERY) -d build/doctrees docs site
	@rm -rf jupyter_execute site/benchmarks
	@if test -d asv_benchmarks/html; then cp -r asv_benchmarks/html site/benchmarks; fi
	@echo "the pages are in site/index.html"

.venv/ready-release: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[release]'
	@touch $@

# The sdist is made of the checkout, the wheel of the sdist.
dist: .venv/ready-release
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist

# What is released, installed with all that it asks for, and the types that pyright sees of it. Needs a package index.
test-release: .venv/ready-dev .venv/ready-release
	$(BIN)/python -m pytest -q -m "sweep or not sweep" tests/project/test_release.py tests/project/test_typing.py tests/project/test_wheel.py

clean:
	rm -rf .venv .venv-cuda .venv-oldest .venv-newest .coverage* build dist site demo "fresh clone" docs/reference/api docs/gallery_pages docs/notebooks .pytest_cache .ruff_cache .mypy_cache .hypothesis
	rm -rf asv_benchmarks/env asv_benchmarks/html
	find asv_benchmarks/results -mindepth 1 -maxdepth 1 ! -name reference -exec rm -rf {} +
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
