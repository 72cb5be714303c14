# make demo | make test | make parity | make plan | make onnx | make docs | make lint: each sets up what it needs (a .venv
# and the packages), then does its job.
PYTHON ?= python3
RUN = .venv/bin/python
DEMO ?= runs/demo

.PHONY: demo test parity plan onnx docs lint clean

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

# compilers of TPUs and GPUs, in a place of their own: beside them jax looks for such devices at every start
.venv-plan/installed: setup.cfg pyproject.toml
	test -x .venv-plan/bin/python || $(PYTHON) -m venv .venv-plan
	.venv-plan/bin/python -m pip install --quiet --upgrade pip
	.venv-plan/bin/python -m pip install --quiet --editable ".[plan,prep,test]"
	touch $@

plan: .venv-plan/installed
	.venv-plan/bin/python -m pytest tests/plan/test_plan.py tests/plan/test_collectives.py -k "tpu or gpu"

# jax2onnx, in a place of its own and without what it asks for: an orbax older than ours, which converting does not use
.venv-onnx/installed: setup.cfg pyproject.toml
	test -x .venv-onnx/bin/python || $(PYTHON) -m venv .venv-onnx
	.venv-onnx/bin/python -m pip install --quiet --upgrade pip
	.venv-onnx/bin/python -m pip install --quiet --editable ".[onnx,test]"
	.venv-onnx/bin/python -m pip install --quiet --no-deps jax2onnx==0.17.1
	touch $@

onnx: .venv-onnx/installed
	.venv-onnx/bin/python -m pytest tests/test_export_onnx.py

.venv/docs: .venv/installed
	$(RUN) -m pip install --quiet --editable ".[prep,test,docs]"
	touch $@

docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

lint: .venv/installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

clean:
	rm -rf .venv .venv-plan .venv-onnx runs site
