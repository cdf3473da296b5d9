# The few verbs a person needs. Every one sets itself up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Where Python is told to write no bytecode, each of the thousands of processes of a test run would compile its libraries.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test lint docs bench bench-peers clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or later is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	@# Most of what is installed is never imported: its bytecode is made when it is. Ours is made now, as pip would for
	@# all that is not editable: where Python may not write bytecode every start would compile again.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	@$(BIN)/python -m compileall -q src operator worker
	@touch $@

# Counts words of real text with two workers and prints the top ones. The text is the standard library's own sources,
# or TEXT='files, folders or globs'.
TEXT ?= $$($(BIN)/python -c 'import sysconfig; lib = sysconfig.get_path("stdlib"); print(f"{lib}/*.py {lib}/[!s]*/**/*.py")')
demo: setup
	@set -f; $(BIN)/mr run examples/wordcount.py $(TEXT) -o demo-out --workers 2 --reducers 4 --overwrite --restart
	@echo; echo "The ten most frequent words:"; $(BIN)/mr get demo-out --top 10
	@echo; echo "The whole result is in $(CURDIR)/demo-out: part-00000 to part-00003, sorted by word; see 'mr get demo-out --merge'."

# Checks without tests.
lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# Every check, then every test, in two processes more than there are cores (many tests wait) but at most four; TESTS= gives
# pytest other arguments. Tests that need a cluster are skipped where none runs, see `make cluster`; with REQUIRE_CLUSTER=1
# one is built and started, or they fail. Tiers run in the order of tests/conftest.py, which also keeps together what shares.
PROCESSES ?= $$($(BIN)/python -c 'import os; print(min(4, (os.cpu_count() or 1) + 2))')
test: lint
	$(BIN)/pytest --numprocesses=$(PROCESSES) --no-loadscope-reorder $(TESTS)

# The documentation as a site, into site/; a link or a heading that is not there is an error.
docs: setup
	$(BIN)/python -m mkdocs build

# One suite of benchmarks as JSON: make bench SUITE=keys ARGS='--size-mib 64 --runs 3'
SUITE ?= wordcount
bench: setup
	$(BIN)/python benchmarks/run.py --suite $(SUITE) $(ARGS)

# The peers that benchmarks compare with, into an environment of their own outside this checkout.
bench-peers: setup
	$(BIN)/python benchmarks/peers/install.py

# A real Kubernetes to test on (docs/test-cluster.md): prints what a shell needs; NODES= gives another number than two.
# These use the machine's own Python, and nothing of the environment above.
.PHONY: cluster cluster-down node-image image-load image e2e deploy install-yaml
cluster:
	@$(PYTHON) -m cluster up
cluster-down:
	@$(PYTHON) -m cluster down
node-image:
	@$(PYTHON) -m cluster node-image
# The images of an archive as `docker save` writes it, into every node: make image-load IMAGE=image.tar
image-load:
	@$(PYTHON) -m cluster load $(IMAGE)

# The product's two images, built from this checkout and put into the cluster, which is started when there is none.
image:
	@$(PYTHON) -m cluster images

# The tests that need a real cluster, which is started when there is none; FULL=1 adds the long ones.
e2e: setup
	REQUIRE_CLUSTER=1 FULL=$(FULL) $(BIN)/pytest --numprocesses=2 --no-loadscope-reorder tests/e2e $(TESTS)

# The operator of this checkout in the cluster: builds and loads the images, installs the chart or brings it up to date.
deploy: setup
	@$(BIN)/python tools/deploy.py

# What is made from the chart and the resource's definition: install.yaml, the chart's copy of the definition.
install-yaml: setup
	$(BIN)/python tools/draw_install.py

clean:
	rm -rf $(VENV) dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis demo-out
	find . -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
