# `make` lists the targets. Needs: make (GNU make 3.81 or later) and Python 3.11 or later; the rest it fetches itself.
# Everything it installs goes to .venv in this folder. PYTHON=/path/to/python3.12 chooses the Python.

.DEFAULT_GOAL := help
.PHONY: help lab test check prove record bench snapshots modules environment environment-dev

PYTHON_IN_VENV := .venv/bin/python
KAFKAPREP := .venv/bin/kafkaprep

help:
	@echo 'make lab        run the lab acks-zero on a real Kafka cluster (LAB=id runs another, ARGS=... adds options)'
	@echo 'make test       all tests: the fast ones, then those on real brokers'
	@echo 'make check      lint, format, types, import rules, lab files'
	@echo 'make prove      every lab both ways, 20 times each'
	@echo 'make record     one real run of each lab, both ways, for replay'
	@echo 'make bench      the measured comparisons'
	@echo 'make snapshots  renew the pictures of the screens; look at what changed'
	@echo 'make modules    renew the list of modules in ARCHITECTURE.md'

LAB := acks-zero
lab: environment
	@$(KAFKAPREP) lab $(LAB) $(ARGS)
	@echo
	@echo "Here, kafkaprep is $(KAFKAPREP); or write: make lab ARGS='--set producer.acks=all'"

# Kafka is fetched before the tests start, so that no test's time limit includes a download.
test: environment-dev
	$(PYTHON_IN_VENV) -m pytest -m 'not kafka'
	$(KAFKAPREP) cluster install
	$(PYTHON_IN_VENV) -m pytest -m kafka

check: environment-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(KAFKAPREP) verify

prove: environment
	@$(KAFKAPREP) prove --repeat 20

record: environment
	@$(KAFKAPREP) prove --record kafkaprep/recordings

bench: environment-dev
	@$(PYTHON_IN_VENV) -m bench

snapshots: environment-dev
	$(PYTHON_IN_VENV) -m pytest tests/ui/test_pictures.py --snapshot-update

modules: environment-dev
	@$(PYTHON_IN_VENV) -m tests.architecture.module_list --write

environment:
	@sh .ci/environment

environment-dev:
	@sh .ci/environment dev
