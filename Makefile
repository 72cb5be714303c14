# make demo | make test | make parity | make lint: each sets up what it needs (a .venv and the packages), then does its job.
PYTHON ?= python3
RUN = .venv/bin/python
DEMO ?= runs/demo

.PHONY: demo test parity lint clean

.venv/installed: setup.cfg pyproject.toml
	test -x $(RUN) || $(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable ".[prep,test]"
	touch $@

demo: .venv/installed
	$(RUN) -m data_prep.build night_figures --out $(DEMO)/records
	$(RUN) -m lift_flax.main --config=configs/demo.py --config.data.dir=$(DEMO)/records --workdir=$(DEMO)/workdir

.venv/torch: .venv/installed
	$(RUN) -m pip install --quiet --editable ".[prep,test,torch]"
	touch $@

test: .venv/installed
	$(RUN) -m pytest --ignore tests/parity --numprocesses 2 --dist loadfile

parity: .venv/torch
	$(RUN) -m pytest tests/parity -s

lint: .venv/installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

clean:
	rm -rf .venv runs
