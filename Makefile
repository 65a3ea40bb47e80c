# Each target sets up what it needs. Nothing must be there but make, python3 (3.11 or newer) and its pip.
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/installed
ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

# python3, or the newest of its kind where python3 itself is too old; `make install PYTHON=/path/to/python` chooses another.
ifndef PYTHON
PYTHON := $(shell for name in python3 python3.19 python3.18 python3.17 python3.16 python3.15 python3.14 python3.13 python3.12 python3.11; do \
	if $$name -c '$(ENOUGH)' >/dev/null 2>&1; then echo $$name; exit; fi; done; echo python3)
endif

# The stamp holds the folder that was installed: install again when that was moved, or when its python has gone.
ifneq ($(shell $(RUN) -c 'print(open("$(STAMP)").read(), end="")' 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install lab teach reset test lint chaos bench bench-brokers notebooks pictures release lock

help:
	@echo "make lab         open the course: your own copies of the chapters, in work/ (PORT=8890 and ARGS=--no-browser if you like)"
	@echo "make teach       open the solved chapters, in notebooks/"
	@echo "make reset       put back your copy of one chapter: make reset CHAPTER=05"
	@echo "make install     only install, into .venv"
	@echo "make test        check everything, as it is checked before each release (make lint: only style and types)"
	@echo "make chaos       the checks under faults at their full size, about 20 minutes; writes docs/chaos.md (ARGS='-k r10' for some)"
	@echo "make bench       measure edakit against kombu alone (make bench-brokers: on RabbitMQ, Kafka and SQLite, beside other libraries, 15 minutes)"
	@echo "make notebooks   run all chapters again and save what changed"
	@echo "make pictures    take the picture of chapter 00 for the README again"
	@echo "make release     write the students' copies of all chapters to dist/"
	@echo "make lock        renew requirements.lock after a change in pyproject.toml"

install: $(STAMP)
	@echo "edakit is installed in $(VENV); make lab opens the course"

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys' 2>/dev/null || { echo "$(PYTHON) was not found. $(GET_PYTHON)"; exit 1; }
	@$(PYTHON) -c '$(ENOUGH)' || { echo "`$(PYTHON) --version 2>&1` is too old. $(GET_PYTHON)"; exit 1; }
	@echo "Step 1 of 3, about a minute: installing edakit and what it needs into $(VENV)"
	@$(RUN) -c '$(ENOUGH)' 2>/dev/null || rm -rf $(VENV)
# Debian's python3 has no ensurepip until python3-venv is installed; its pip can serve another environment than its own.
	@if $(PYTHON) -m ensurepip --version >/dev/null 2>&1; then \
		$(PYTHON) -m venv $(VENV) && $(call install_with,$(RUN) -m pip); \
	elif $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $(RUN) --version >/dev/null 2>&1; then \
		$(call install_with,$(PYTHON) -m pip --python $(RUN)); \
	else \
		echo "$(PYTHON) has no pip. $(GET_PIP)"; exit 1; \
	fi
	@printf '%s' '$(CURDIR)' >$(STAMP)

# What is locked first, then this folder itself, with the build backend that is locked.
install_with = { $(1) install --quiet --require-hashes -r requirements.lock \
	&& $(1) install --quiet --no-build-isolation --no-deps -e . \
	|| { echo "The installation did not finish; pip's reason is above. Check the network and the space on the disk, then run the same command again."; exit 1; }; }

GET_PYTHON = edakit needs Python 3.11 or newer: install one (Debian, Ubuntu: sudo apt install python3; macOS: brew install python; or from python.org), \
	then run the same command again. If you have one under another name: make install PYTHON=/path/to/python3.12
GET_PIP = Install it (Debian, Ubuntu: sudo apt install python3-pip; Fedora: sudo dnf install python3-pip), then run the same command again.

lab: $(STAMP)
	@$(RUN) -m edakit lab $(if $(PORT),--port $(PORT)) $(ARGS)

teach: $(STAMP)
	@$(RUN) -m edakit lab --solved $(if $(PORT),--port $(PORT)) $(ARGS)

reset: $(STAMP)
	@$(RUN) -m edakit reset $(CHAPTER) $(ARGS)

lint: $(STAMP)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m codespell_lib

# One run of pytest for tests and chapters: a failing test then does not hide a failing chapter, and the last line counts both.
# Much of it waits for brokers, browsers and processes (two files at a time use half of two cores), so three run at a time; a file, and so a chapter, stays in
# order. JOBS=0 runs one after the other.
# The files in folders come first: few tests, and the longest. xdist would begin with the files that have the most tests.
JOBS := 3
test: lint
	EDAKIT_PROGRESS=0 $(RUN) -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder \
		--nbval --nbval-current-env --nbval-cell-timeout 180 tests $(wildcard notebooks) $(ARGS)

chaos: $(STAMP)
	EDAKIT_PROGRESS=0 EDAKIT_CHAOS=full $(RUN) -m pytest -o faulthandler_timeout=1800 --durations=20 tests/chaos $(ARGS)

bench: $(STAMP)
	$(RUN) -m tests.bench $(ARGS)

# The libraries that edakit is measured beside have an environment of their own: no user and no test needs them.
BENCH := .venv-bench
$(BENCH)/installed: tests/bench/peers.txt | $(STAMP)
	$(RUN) -m uv venv --quiet --clear --python $(RUN) $(BENCH)
	$(RUN) -m uv pip install --quiet --python $(BENCH) --require-hashes -r tests/bench/peers.txt
	@touch $@

bench-brokers: $(BENCH)/installed
	$(RUN) -m tests.bench.brokers $(ARGS)

notebooks: $(STAMP)
	EDAKIT_PROGRESS=0 $(RUN) -m edakit rerun $(ARGS)

pictures: $(STAMP)
	$(RUN) -m tests.browser.pictures

release: $(STAMP)
	$(RUN) -m edakit release $(ARGS)

lock: $(STAMP)
	$(RUN) -m uv pip compile pyproject.toml --group build --extra test --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" --quiet --output-file requirements.lock $(ARGS)
	$(RUN) -m uv pip compile tests/bench/peers.in --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" --quiet --output-file tests/bench/peers.txt $(ARGS)
