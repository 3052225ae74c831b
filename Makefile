# Everything that the two commands need is installed into .venv, in this folder.
#   make study [FILE=studies/digits.toml]    train, align, measure, report
#   make test                                lint, types, doctests, tests, examples
#   make test-all                            the same, of all there is to test on, in hours
#   make check                               the same, of the tests the fast ones, in two minutes
#   make docs                                the documentation site, in site/
#   make bench [BENCH=--quick]               all benchmarks, in benchmarks/README.md
# TORCH overrides what is installed as PyTorch, for example TORCH=torch for a CUDA build.

PYTHON ?= python3
FILE ?= studies/digits.toml
BIN := .venv/bin
TORCH_VERSION := 2.13.0
# PyTorch's own index of CPU builds, asked only where pip's usual sources hold none.
CPU_INDEX := https://download.pytorch.org/whl/cpu

# Compiled files are kept, also where the environment says otherwise: every process that a test or a
# study starts would compile PyTorch again, for eight seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: study test lint tests test-all check docs bench clean
.DELETE_ON_ERROR:

study: .venv/study.stamp
	$(BIN)/toroids study $(FILE) --engine processes

# Types take a minute of one core, beside which the tests use the others.
test: .venv/test.stamp
	$(MAKE) --jobs=2 lint tests

tests: .venv/test.stamp
	$(BIN)/pytest --numprocesses auto --dist loadgroup

lint: .venv/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test-all: .venv/test.stamp
	$(BIN)/pytest --numprocesses auto --dist loadgroup --long --generated 2000 --operators all

check: lint
	$(BIN)/pytest --numprocesses auto --dist loadgroup -m 'not slow'

docs: .venv/docs.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "the documentation is in site/index.html"

bench: .venv/bench.stamp
	$(BIN)/python benchmarks/run.py $(BENCH)

.venv/study.stamp: .venv/torch.stamp pyproject.toml
	$(PIP_INSTALL) --editable '.[study]'
	touch $@

.venv/test.stamp: .venv/torch.stamp pyproject.toml
	$(PIP_INSTALL) --editable '.[dev,docs]'
	touch $@

.venv/docs.stamp: .venv/torch.stamp pyproject.toml
	$(PIP_INSTALL) --editable '.[docs]'
	touch $@

.venv/bench.stamp: .venv/torch.stamp pyproject.toml
	$(PIP_INSTALL) --editable '.[bench]'
	touch $@

# PyTorch comes first: whatever is installed after it finds it there and never pulls another build,
# which on Linux would bring gigabytes of CUDA. One that is already in .venv is kept.
.venv/torch.stamp:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("toroids needs Python 3.11 or later, this is " + sys.version.split()[0] + "; name one: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -c 'import torch' 2>/dev/null || $(INSTALL_TORCH)
	touch $@

# Python compiles what is imported when it first is; all twenty thousand files take a minute.
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
ifdef TORCH
INSTALL_TORCH = $(PIP_INSTALL) $(TORCH)
else
INSTALL_TORCH = { $(PIP_INSTALL) torch==$(TORCH_VERSION)+cpu 2>/dev/null \
	|| { echo "asking PyTorch's own index for its CPU build"; \
	     $(PIP_INSTALL) torch==$(TORCH_VERSION) --index-url $(CPU_INDEX); }; }
endif

clean:
	rm -rf .venv
