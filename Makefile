# SPDX-License-Identifier: GPL-3.0-or-later
# Metalwright: `make lab` shows the main job on real VMs, `make test` proves it.
SHELL := /bin/sh
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
BIN := $(CURDIR)/.venv/bin
LAB := $(SUDO) $(BIN)/metalwright lab
PLAYBOOK = $(LAB) exec -- $(BIN)/ansible-playbook

.PHONY: help lab lab-down test lint types unit e2e failures faults faults-smoke fuzz machine-network installed
.PHONY: bench bench-network bench-smoke pins clean
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/.lab: pyproject.toml packaging/bootstrap.sh packaging/constraints.txt
	@packaging/bootstrap.sh
	@touch $@

.venv/.test: pyproject.toml packaging/bootstrap.sh packaging/constraints.txt
	@packaging/bootstrap.sh '[test,postgresql]'
	@touch .venv/.lab $@

lab: .venv/.lab ## Three empty VMs become Ansible hosts
	@$(LAB) demo

lab-down: .venv/.lab ## Remove the lab
	@$(LAB) down

test: lint types unit collection faults-smoke bench-smoke e2e ## Everything that can be checked by a machine

lint: .venv/.test
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

types: .venv/.test
	@$(BIN)/mypy

unit: .venv/.test
	@$(SUDO) $(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder tests/controller

.PHONY: collection
collection: .venv/.test
	@tests/collection.sh

.venv/.docs: pyproject.toml packaging/bootstrap.sh
	@packaging/bootstrap.sh '[docs]'
	@touch $@

.PHONY: docs-site
docs-site: .venv/.docs ## The collection's reference as web pages, in build/site/build/html
	@tests/collection.sh site

e2e: .venv/.test
	@$(SUDO) $(BIN)/pytest -q -s tests/e2e/test_rack.py tests/e2e/test_spine.py

failures: .venv/.test ## Failures that need a real VM, each made for real and explained (20 minutes; beside make test)
	@$(SUDO) $(BIN)/pytest -q -s tests/e2e/test_failures.py

faults-smoke: .venv/.test
	@$(SUDO) $(BIN)/pytest -q -m "not large" tests/faults

faults: .venv/.test ## Kills, full disks, lost packets, a stepped clock: 200 machines each, counted at the end (half an hour)
	@$(SUDO) $(BIN)/pytest -q --full tests/faults

fuzz: .venv/.test ## Whatever may be sent to the controller, by the hundred thousand (an hour; a few of each are in make test)
	@$(SUDO) $(BIN)/pytest -q -n 2 --hypothesis-profile fuzz tests/controller/fuzz

machine-network: .venv/.test ## A machine deployed with a bond, a VLAN and a bridge (5 minutes; beside make test)
	@$(SUDO) $(BIN)/pytest -q -s tests/e2e/test_machine_network.py

installed: .venv/.test ## The role that installs a controller, on a deployed VM with systemd, nginx and DHCP (15 minutes; beside make test)
	@$(SUDO) $(BIN)/pytest -q -s tests/e2e/test_installed.py

bench-network: .venv/.test ## What a change of DHCP and DNS costs with 10,000 hosts, on each engine
	@$(SUDO) $(BIN)/python tests/bench/network.py

bench: .venv/.test ## What it costs, beside floors and peers measured in the same run; writes docs/reference/performance.md
	@$(SUDO) $(BIN)/python tests/bench/page.py

bench-smoke: .venv/.test
	@$(SUDO) $(BIN)/python tests/bench/smoke.py

pins: ## Take the newest versions of everything that is installed, and write them down
	@rm -rf build/pins && python3 -m venv build/pins && build/pins/bin/pip install --quiet '.[test,postgresql]'
	@head -n 2 packaging/constraints.txt > build/pins/constraints.txt
	@build/pins/bin/pip freeze --exclude metalwright >> build/pins/constraints.txt
	@mv build/pins/constraints.txt packaging/constraints.txt

clean: ## Forget what was built in this checkout
	@rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache
