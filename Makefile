# The commands of everyday work; `make` alone lists them.

SHELL := /bin/bash
PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
TARGET := $(or $(CARGO_TARGET_DIR),target)

# Everything below runs with the environment's programs first. What an activated environment says besides is
# left out: pip's builds do not hear of it, and cargo would build anew for each of the two.
export PATH := $(BIN):$(PATH)
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV

# Where this environment keeps libtorch; known once .venv is there. The linker looks in LIBRARY_PATH
# too, which helps when target/ was last used with another environment.
TORCH_LIB = $(shell echo $(CURDIR)/.venv/lib/python3*/site-packages/torch/lib)
CARGO = LIBRARY_PATH=$(TORCH_LIB) cargo

# The package with the primitives and their page, and those that are built without libtorch.
PRIMITIVES := ecco-primitives
LIGHT := ecco-interpreter ecco-protocol ecco-scripting ecco-widgets

.PHONY: help demo lab docs gallery wheel test lint bench bless clean prerequisites browser FORCE
.PHONY: test-kernel test-views test-scripting test-primitives test-models test-explain test-notebooks
.DELETE_ON_ERROR:

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

demo: build/readme.html  ## set up, run notebooks/readme.ipynb on the kernel, make a page of it
	@echo
	@echo "The example has run:"
	@echo "  build/readme.html   the page: open it in a browser, no network needed"
	@echo "  build/readme.ipynb  the executed notebook"
	@echo "Go on with 'make lab': JupyterLab with this notebook open."

# In a container one is root, and Jupyter wants to be told that this is meant.
AS_ROOT = $(if $(filter 0,$(shell id -u)),--allow-root)

lab: .venv/.kernel  ## open JupyterLab with the kernel installed
	jupyter lab --notebook-dir=. --LabApp.default_url=/lab/tree/notebooks/readme.ipynb $(AS_ROOT) $(LAB_FLAGS)

docs: .venv/.kernel  ## the documentation as a site, the notebooks run inside: build/site/index.html
	python scripts/docs.py

gallery: browser build/readme.html .venv/.kernel  ## every view on one page, of a real model: build/gallery.html; the README's pictures
	python scripts/gallery.py
	cp build/images/*.png docs/images/

# For glibc 2.28 and newer, whatever this machine has: maturin looks at the symbols that are asked for. Only the program is linked
# anew; its linker says how.
DIST ?= dist
wheel: .venv/.wheel  ## a wheel for other machines with x86-64 Linux: dist/
	LIBRARY_PATH=$(TORCH_LIB) maturin build --release --locked --compatibility manylinux_2_28 --auditwheel check --out $(DIST) \
	  -- -C linker=$(CURDIR)/scripts/wheel_linker

.venv/.wheel: .venv/.requirements scripts/wheel_linker
	pip install --disable-pip-version-check --quiet --no-compile ziglang==0.17.1
	@touch $@

test: browser .venv/.kernel build/gateway/.requirements build/widgets/.requirements build/readme.html lint  ## formatting, lints and all tests
	$(TEST_LIGHT) $(LIGHT:%=-p %)
	$(TEST) --workspace $(LIGHT:%=--exclude %)
	pytest $(SIDE_BY_SIDE) widgets/tests
	pytest $(SIDE_BY_SIDE) tests/e2e $(TIMED:%=--ignore=%)
	pytest $(TIMED)

# Tests with libtorch, which programs look for in LD_LIBRARY_PATH too; and those that have to do without: there is none for
# them, and a build that wants it fails. A test has one of libtorch's threads: tests run side by side, and on tiny models the
# others cost twice the time, waiting for each other.
TEST = OMP_NUM_THREADS=1 LD_LIBRARY_PATH=$(TORCH_LIB) $(CARGO) test --release
TEST_LIGHT = LIBTORCH_USE_PYTORCH=0 cargo test --release

# Pages, front ends and programs are independent of each other; where seconds are measured, a kernel gets the machine for itself,
# and a Ctrl-C is heard by a process that was not started by another one's tests.
# A file's tests stay together: they share what is dear to set up. Files go in the order of their names, not those with few tests
# last: these are the long ones, and one process would wait for them.
SIDE_BY_SIDE = --numprocesses=2 --dist=loadfile --no-loadscope-reorder
TIMED = $(patsubst %,tests/e2e/test_%.py,abuse soak from_python)

# The documentation is read with its private items.
lint: .venv/.requirements  ## formatting and lints of Rust, Python and JavaScript; the links of Rust's documentation; circles; features
	cargo fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc --release --workspace --no-deps --document-private-items --quiet
	ruff check
	ruff format --check
	python scripts/lint_js.py
	python scripts/rooms.py
	python scripts/features.py

# What belongs to one kind of change. See CONTRIBUTING.md. Our own packages are compiled in increments for them, beside those of
# `make test`: after a change that takes a tenth of the time.
test-kernel test-views test-scripting test-primitives test-models test-explain: export CARGO_INCREMENTAL := 1

test-kernel:  ## the protocol with a toy language
	$(TEST_LIGHT) -p ecco-protocol -p ecco-interpreter

test-views: browser .venv/.requirements  ## what results look like, in Chromium too; VIEW=lens: only tests with that name
	$(TEST_LIGHT) -p ecco-widgets
	pytest $(SIDE_BY_SIDE) $(if $(VIEW),-k '$(VIEW)') widgets/tests

test-scripting:  ## the notebook language
	$(TEST_LIGHT) -p ecco-scripting

test-primitives: .venv/.requirements  ## what a cell can ask
	$(TEST) -p $(PRIMITIVES)

test-models: .venv/.requirements  ## models, and the parity of families, tokenizers and generation
	$(TEST) -p ecco-models
	$(TEST) -p ecco-tests --test parity -- families generation gguf gpt2 runs sites tokenizers

test-explain: .venv/.requirements  ## methods, and their parity
	$(TEST) -p ecco-explain
	$(TEST) -p ecco-tests --test parity -- attribution direct explanations faithfulness interventions lens recovery

test-notebooks: .venv/.kernel  ## the example notebooks on the installed kernel
	pytest tests/e2e/test_notebooks.py

# Beside the libraries that people use for the same, in an environment of their own: PyTorch once more, 5 GB.
bench: .venv/.kernel build/bench-env/.peers build/ecco-env/.ecco  ## times beside other libraries: bench/RESULTS.md (half an hour on an idle machine)
	python bench/peers.py build/bench-env/bin/python build/ecco-env/bin/python
	python bench/growth.py build/bench-env/bin/python

# Enterprise Gateway, for its test: it keeps to a jupyter_client that nothing else here has.
build/gateway/.requirements: tests/e2e/gateway-requirements.txt | prerequisites
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --disable-pip-version-check --quiet --no-compile --no-deps --requirement $<
	@touch $@

# What JupyterLab has of Jupyter's widgets, for the test of `ecco::live()`: files for the browser alone, beside all environments.
build/widgets/.requirements: tests/e2e/widgets-requirements.txt | prerequisites
	pip install --disable-pip-version-check --quiet --no-compile --no-deps --upgrade --target $(@D) --requirement $<
	@touch $@

build/bench-env/.peers: bench/peers-requirements.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --requirement $<
	$(@D)/bin/pip install --quiet --no-deps inseq==0.7.1
	touch $@

# The Python library, which keeps to older ones: its own pins cannot be installed.
build/ecco-env/.ecco: bench/requirements.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --requirement $<
	$(@D)/bin/pip install --quiet --no-deps ecco==0.1.2
	touch $@

# The one way to make anew what is generated from the code. Afterwards `git diff` says what changed for users; what a
# transcript or a table has lost is read before it is committed. Fixtures are not made here: see tests/reference/README.md.
bless: .venv/.requirements  ## write anew all that is generated from the code
	$(CARGO) run --release -p $(PRIMITIVES) --example primitives_docs
	cargo run --release -p ecco-widgets --example schemas
	BLESS=1 $(TEST) -p $(PRIMITIVES) --test transcripts
	BLESS=1 $(TEST_LIGHT) -p ecco-scripting --test transcripts
	BLESS=1 $(TEST) -p ecco-tests --test parity the_table_of
	$(TEST) -p ecco-tests --test parity write_the_table -- --ignored
	python scripts/third_party.py
	git --no-pager diff --stat

clean:  ## remove everything that was made here
	rm -rf .venv build dist $(TARGET)

prerequisites:
	@PYTHON=$(PYTHON) scripts/prerequisites

browser: prerequisites
	@scripts/prerequisites browser

build/readme.html: notebooks/readme.ipynb scripts/run_notebook.py .venv/.kernel
	@echo "==> running notebooks/readme.ipynb"
	@python scripts/run_notebook.py notebooks/readme.ipynb build

# The Python environment. A failed install leaves no stamp, so the next run goes on from there. It waits for the network and the
# disk; what is built without libtorch is compiled meanwhile, and an error of that is told by the build that follows. With one
# small test, since what tests need besides decides how others are compiled.
BUILD_LIGHT = $(TEST_LIGHT) --quiet --no-run $(LIGHT:%=-p %) --test folder 2>/dev/null
.venv/.requirements: scripts/requirements.txt | prerequisites
	@echo "==> Python environment in .venv (torch and its libraries: about 5 GB, some minutes)"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BUILD_LIGHT) & pip install --disable-pip-version-check --no-compile -r scripts/requirements.txt; status=$$?; wait; exit $$status
	@touch $@

# cargo knows best what is out of date; the rest runs only when the binary is a new one.
$(TARGET)/release/ecco-kernel: .venv/.requirements FORCE
	@echo "==> ecco-kernel (the first build compiles libtorch's glue: some minutes)"
	$(CARGO) build --release --package ecco-kernel

# As a user would install it: the binary, the kernelspec, what papermill needs. cargo has built it already.
PIP_INSTALL = pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --force-reinstall
.venv/.kernel: $(TARGET)/release/ecco-kernel $(wildcard python/*/*.py kernelspec/* labextension/* labextension/*/*) pyproject.toml
	$(PIP_INSTALL) .
	@touch $@
