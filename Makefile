# make demo     evaluate the shipped evidence of a real cluster and write the report; needs no host
# make test     5 minutes: unit tests, and as root on Linux a smoke test of the lab; ends with a list of what it left out
# make test-lab 15 minutes, as root: the lab of namespaces; make test-part PART=lab-fixes has the fixes
# make test-all hours: every part, each with its own result; make test-part PART=NAME runs one
# make knockout damage the saved evidence of the demo and of both clean labs: each pass must fall
# make check    ruff, mypy --strict (checks/ too), plain words, shellcheck
# make record   after a change of a policy or check: write the expected verdicts (demo, clean labs) and the documents; review the difference
# make docs     write only the generated documents: docs/policies.md, docs/facts.md, the table of policies in the README
# make lab      start two real Incus hosts on this machine; make lab-down removes them. HOSTS=3: with twinsrv. HOSTS=1: a server in no
#               cluster. INCUS=7.0: another version of Incus. NIXOS=minisrv: that host has the shape of NixOS
# make vm-lab   the same in virtual machines, with 802.1Q, ZFS and systemd; make vm-lab-down removes them
# make bench    measure CPU time and memory to judge 100, 1,000 and 10,000 synthetic instances; needs no host
# make bench-collect  compare the cost of a scan of the lab with the same questions over one ssh by hand
# make lock     pin the dependencies again

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-lab test-all test-part knockout check docs record lab lab-down vm-lab vm-lab-down bench bench-collect lock setup setup-dev clean

demo: setup
	@$(BIN)/sigsrv demo

test: setup-dev
	@$(BIN)/python tests/parts.py quick

test-lab: setup-dev
	@$(BIN)/python tests/parts.py lab

test-all: setup-dev
	@$(BIN)/python tests/parts.py

test-part: setup-dev
	@$(BIN)/python tests/parts.py $(PART)

knockout: setup
	@$(BIN)/sigsrv policies knockout --evidence demo --evidence tests/evidence/clean/ns --evidence tests/evidence/clean/vm

check: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.plain_words
	@command -v shellcheck >/dev/null || { echo "make: shellcheck is not installed: apt-get install shellcheck" >&2; exit 1; }
	shellcheck lab/lab lab/fault lab/record-clean lab/record-demo lab/lib/*.sh lab/ns/*.sh lab/vm/*.sh lab/nixos/*.sh lab/nixos/nixos-version lab/faults/*.sh .ci/run

docs: setup
	$(BIN)/python docs/generate.py

record: setup-dev
	@$(BIN)/python -m tests.record

lab:
	lab/lab $(if $(HOSTS),--hosts=$(HOSTS)) $(if $(INCUS),--incus=$(INCUS)) $(if $(NIXOS),--nixos=$(NIXOS)) up

lab-down:
	lab/lab down

vm-lab:
	lab/lab --lab=vm up

vm-lab-down:
	lab/lab --lab=vm down

bench: setup-dev
	@$(BIN)/python -m tests.bench

bench-collect: setup lab
	@$(BIN)/python lab/bench-collect

setup: .venv/.installed
setup-dev: .venv/.installed-dev

# A separate mark file: an environment that was interrupted half way has a python too, and must be created again.
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
