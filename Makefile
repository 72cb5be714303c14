# make install | demo | test | check | lint | slow | docs | parity | plan | onnx | vits | shipped-model: each sets up what it needs
# (a .venv and the packages), then does its job.  docs/testing.md says what stands where; `make check` is all but the last five.
PYTHON ?= python3
RUN = .venv/bin/python
DEMO ?= runs/demo
SHIPPED ?= runs/shipped
FIGURES = --train-per-class=20 --codec=original

# the checkout's own path: a folder called lift_flax, as a clone is, where Python starts would hide the editable package
PATH_FILE = $(RUN) -c "import os, pathlib, sysconfig; \
    pathlib.Path(sysconfig.get_path('purelib'), 'lift_flax_checkout.pth').write_text(os.getcwd() + '\n')"

.PHONY: install demo test check lint slow docs parity plan onnx vits shipped-model clean

.venv/installed: setup.cfg pyproject.toml
	test -x $(RUN) || $(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable ".[prep,test]"
	$(PATH_FILE)
	touch $@

# the command lift-flax alone, for those who want neither demo nor tests
install:
	test -x $(RUN) || $(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable ".[prep,serve]"
	$(PATH_FILE)
	@echo "installed: .venv/bin/lift-flax --help"

demo: .venv/installed
	$(RUN) -m data_prep.build night_figures $(FIGURES) --light=dark --out $(DEMO)/dark
	$(RUN) -m data_prep.build night_figures $(FIGURES) --light=day --seed=1 --out $(DEMO)/day
	$(RUN) -m data_prep.build night_figures $(FIGURES) --light=infrared --seed=2 --out $(DEMO)/infrared
	$(RUN) -m lift_flax.main --config=configs/demo.py --workdir=$(DEMO)/workdir \
	    --config.data.dir=$(DEMO)/dark,$(DEMO)/day,$(DEMO)/infrared

.venv/torch: .venv/installed
	$(RUN) -m pip install --quiet --editable ".[prep,test,torch]"
	touch $@

# one test of each promise, in minutes; annotations are checked at run time in `slow` and, for these rooms, here too
test: .venv/installed
	$(RUN) -m pytest --ignore tests/parity -m "not slow" --numprocesses 2 --dist worksteal \
	    --jaxtyping-packages=lift_flax.models,lift_flax.augment,beartype.beartype

# the rest of them
slow: .venv/installed
	$(RUN) -m pytest --ignore tests/parity -m slow --numprocesses 2 --dist worksteal

check: lint test slow docs

parity: .venv/torch
	JAX_DISABLE_MOST_OPTIMIZATIONS=0 $(RUN) -m pytest tests/parity -s

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
	.venv-onnx/bin/python -m pytest tests/export/test_onnx.py

# timm's and transformers' own modules, in a place of their own: they are large, and only their numbers are wanted
.venv-vits/installed: setup.cfg pyproject.toml
	test -x .venv-vits/bin/python || $(PYTHON) -m venv .venv-vits
	.venv-vits/bin/python -m pip install --quiet --upgrade pip
	.venv-vits/bin/python -m pip install --quiet --editable ".[vits,test]"
	touch $@

vits: .venv-vits/installed
	.venv-vits/bin/python -m pytest tests/weights/test_published_vits.py -s

# lift_flax/shipped/ and its section of docs/results.md, from nothing, in some two hours of one core; what is done is kept.
# REAL="--weizmann=DIR --arid=DIR" scores real clips, too.
shipped-model: .venv/installed
	$(RUN) -m benchmarks.shipped.model --out=$(SHIPPED) $(REAL)

.venv/docs: .venv/installed
	$(RUN) -m pip install --quiet --editable ".[prep,test,docs]"
	touch $@

docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

lint: .venv/installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	.venv/bin/lint-imports --no-cache
	.venv/bin/basedpyright

clean:
	rm -rf .venv .venv-plan .venv-onnx .venv-vits runs site
