# make demo | make test | make lint: each sets up what it needs (a .venv and the packages), then does its job.
PYTHON ?= python3
RUN = .venv/bin/python
DEMO ?= runs/demo

.PHONY: demo test lint clean

.venv/installed: setup.cfg pyproject.toml
	test -x $(RUN) || $(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable ".[test]"
	touch $@

demo: .venv/installed
	$(RUN) -m data_prep.build night_figures --out $(DEMO)/records
	$(RUN) -m lift_flax.main --config=configs/demo.py --config.data.dir=$(DEMO)/records --workdir=$(DEMO)/workdir

test: .venv/installed
	$(RUN) -m pytest

lint: .venv/installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

clean:
	rm -rf .venv runs
