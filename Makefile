# Everything a person does with this repository. `make` alone lists it.
# Only Python from 3.11 on and make are needed; the first target that needs more fetches it from the package registries.

PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
RUN := $(BIN)/python
VENV := .venv/.synced
TESTS ?= tests
# Files, not single tests, go to a worker: the fixtures of a module start a cloud or an operator once.
DISTRIBUTED := -m "not long" --dist loadfile --no-loadscope-reorder --durations 10

# The tests start hundreds of processes; where this is set, each compiles a thousand modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv demo sandbox sandbox-down unit test faults test-long lint audit format crds generate bench docs site
.PHONY: release-bump release-dry-run image clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV) ## make .venv with everything the lock file names

demo: $(VENV) ## the whole story on a real API server, about a minute; KEEP=1 leaves it running
	@$(RUN) -m sandbox.demo $(if $(KEEP),--keep)

sandbox: $(VENV) ## start a real API server and a simulated cloud; how to use them is in .sandbox/env
	@$(RUN) -m sandbox up

sandbox-down: $(VENV) ## end what `make sandbox` started
	@$(RUN) -m sandbox down

unit: $(VENV) ## the tests that need no API server, in about two minutes
	@$(RUN) -m tests.run unit

test: $(VENV) ## all tests but the long ones, real API server included; TESTS=path narrows
	@$(RUN) -m sandbox prepare
ifeq ($(TESTS),tests)
	@$(RUN) -m tests.run
else
	@$(RUN) -m pytest $(DISTRIBUTED) --numprocesses 3 $(TESTS)
endif

faults: $(VENV) ## fault plans: SEED=1 PLANS=300 choose them; PLAN='{"kind": …}' repeats one
	@$(RUN) -m sandbox prepare
	@$(RUN) -m tests.faults $(if $(PLAN),--plan '$(PLAN)',$(if $(SEED),--seed $(SEED)) $(if $(PLANS),--plans $(PLANS)))

test-long: $(VENV) ## sweeps and soaks
	@$(RUN) -m sandbox prepare
	@$(RUN) -m pytest -m long $(TESTS) || { status=$$?; test $$status -eq 5 && echo "no test is marked long"; }

lint: $(VENV) ## style, types, layers, and generated files that are out of date
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(RUN) -m defender_devops.api.crds --check deploy/crds
	@$(RUN) deploy/helm/generate.py --check
	@$(RUN) deploy/gitops/generate.py --check
	@$(RUN) docs/generate.py --check
	@$(RUN) -m deploy.release lint-workflows

audit: $(VENV) ## known vulnerabilities of what is shipped, by its lock file; asks pypi.org
	@$(BIN)/uv export --quiet --frozen --no-default-groups --all-extras --no-emit-project --format requirements-txt \
	  --output-file .venv/audit.txt
	@echo "audit: asks https://pypi.org about $$(grep -c '^[a-z0-9].*==' .venv/audit.txt) locked packages: those of the image, the wheel" \
	  "and its extras. Not checked: tools for development, the image's base (docs/image.md has the commands)."
	@$(BIN)/uv run --isolated --frozen --only-group audit \
	  pip-audit --strict --require-hashes --disable-pip --progress-spinner off --requirement .venv/audit.txt || { \
	  echo "audit: failed. A table above names vulnerable packages and the versions that fix them. An ERROR above means that pypi.org" \
	    "(https://pypi.org/pypi/NAME/VERSION/json) was not reached or is a mirror without these data: then nothing was checked." >&2; \
	  exit 1; }
	@echo "audit: $$(grep -c '^[a-z0-9].*==' .venv/audit.txt) packages of $$(git rev-parse --short HEAD 2>/dev/null || echo this folder)" \
	  "have no known vulnerability, as of $$(date -u +%Y-%m-%dT%H:%MZ)."

format: $(VENV) ## put the code into the style that lint asks for
	@$(BIN)/ruff check --fix-only
	@$(BIN)/ruff format

crds: $(VENV) ## generate deploy/crds from the models
	@$(RUN) -m defender_devops.api.crds deploy/crds

generate: crds ## generate all that is made of something else: CRDs, the chart's README, reference pages
	@$(RUN) deploy/helm/generate.py
	@$(RUN) deploy/gitops/generate.py
	@$(RUN) docs/generate.py

bench: $(VENV) ## benchmarks beside a plain kopf operator, about two hours; BENCH="converge --rounds 1" narrows
	@$(RUN) -m sandbox prepare
	@$(RUN) -m benchmarks $(BENCH)

docs: $(VENV) ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

site: $(VENV) ## build the documentation of every release and of this clone into site/, as it is published; URL=address
	@$(RUN) -m deploy.site $(if $(URL),--url $(URL))

release-bump: $(VENV) ## write VERSION to every place and close its section of CHANGELOG.md
	@$(RUN) -m deploy.release bump $(VERSION)

release-dry-run: $(VENV) ## build and check every artifact of VERSION, publish nothing; IMAGE=no leaves the image out
	@$(RUN) -m deploy.release rehearse $(VERSION) $(if $(filter no,$(IMAGE)),--without-image)

image: ## build the image of Debian's packages, where no registry is reachable; needs root, buildah, mmdebstrap
	@deploy/image/build-offline

clean: ## remove what was made here; the cache of programs outside stays
	@if [ -d .sandbox ] && [ -x $(RUN) ]; then $(RUN) -m sandbox down; fi
	rm -rf .venv .sandbox site dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@[ -x $(RUN) ] || $(PYTHON) -m venv .venv
	@$(BIN)/uv --version 2>/dev/null | grep -qF "uv $(UV_VERSION)" || $(RUN) -m pip install --quiet uv==$(UV_VERSION)
	@$(BIN)/uv sync --quiet --frozen --all-extras
	@touch $@
