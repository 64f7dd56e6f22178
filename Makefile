# make demo   judge the shipped evidence of a real cluster and write the report; needs no host
# make test   all tests; those on the lab where this machine can run it (Linux, root)
# make check  ruff, mypy --strict, shellcheck
# make docs   docs/policies.md and the README's table of policies, from the policies' own files
# make lab    two real Incus hosts on this machine, to try it on; make lab-down takes them away
# make vm-lab the same in virtual machines, with 802.1Q, ZFS and systemd; make vm-lab-down takes them away
# make e2e-vm the tests of tests/e2e on the virtual machines, but for those of fixes: one to two and a half hours, by the machine
# make e2e-vm-fixes  those of remediations on the virtual machines, which take as long again
# make bench-collect  what a scan of the lab costs beside the same questions over one ssh by hand
# make lock   pin the dependencies anew

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check docs lab lab-down vm-lab vm-lab-down e2e-vm e2e-vm-fixes bench-collect lock setup setup-dev clean

demo: setup
	@$(BIN)/sigsrv demo

test: setup-dev
	$(BIN)/python -m pytest

check: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@command -v shellcheck >/dev/null || { echo "make: shellcheck is not installed: apt-get install shellcheck" >&2; exit 1; }
	shellcheck lab/lab lab/fault lab/record-demo lab/lib/*.sh lab/ns/*.sh lab/vm/*.sh lab/faults/*.sh .ci/run

docs: setup
	$(BIN)/python docs/generate.py

lab:
	lab/lab up

lab-down:
	lab/lab down

vm-lab:
	lab/lab --lab=vm up

vm-lab-down:
	lab/lab --lab=vm down

FIXES := $(addprefix tests/e2e/test_,remediate.py pairs_together.py transaction.py power.py)

e2e-vm: setup-dev
	$(BIN)/python -m pytest tests/e2e --lab=vm $(addprefix --ignore=,$(FIXES))

e2e-vm-fixes: setup-dev
	$(BIN)/python -m pytest $(FIXES) --lab=vm

bench-collect: setup lab
	@$(BIN)/python lab/bench-collect

setup: .venv/.installed
setup-dev: .venv/.installed-dev

# Its own mark: an environment that was broken off half made has a python too, and is made anew.
.venv/.made:
	@$(PYTHON) -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: Python 3.11 or later with its venv module is needed: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv
	@touch $@

.venv/.installed: requirements.lock pyproject.toml | .venv/.made
	@echo "installing the locked dependencies into .venv"
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements.lock
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.installed-dev: requirements-dev.lock .venv/.installed
	@echo "installing the locked dependencies of the tests into .venv"
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements-dev.lock
	@touch $@

lock: | .venv/.made
	$(BIN)/python -m pip --quiet --disable-pip-version-check install uv
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
	  --output-file requirements.lock pyproject.toml requirements-build.in
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
	  --constraints requirements.lock --extra dev --output-file requirements-dev.lock pyproject.toml

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache reports/out
