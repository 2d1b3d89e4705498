# SPDX-License-Identifier: Apache-2.0
.DEFAULT_GOAL := help
.PHONY: help env demo test lint bench clean

RUN := scripts/in_env.sh
VIDEO ?=
FRAMES ?= 200
OUT ?= demo_out
WORKERS ?= 4

help:  ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*##/ {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: .venv/ready  ## Make the environment .venv (ROS_DISTRO set: over that ROS, else wheels)

.venv/ready: $(wildcard requirements/*.txt scripts/make_env.sh setup.py package.xml) \
             $(wildcard shadowtutor_msgs/* shadowtutor_msgs/*/*)
	scripts/make_env.sh

demo: env  ## A robot and a tutor on a real video: make demo [VIDEO=path] [FRAMES=200] [OUT=demo_out]
	$(RUN) python -m shadowtutor_ros.cli demo --frames $(FRAMES) --out $(OUT) $(if $(VIDEO),--video '$(VIDEO)')

test: env lint  ## Lint, type-check and run all tests: make test [WORKERS=4]
	$(RUN) python -m pytest -n $(WORKERS) --dist worksteal

lint: env  ## ruff and mypy
	$(RUN) ruff check .
	$(RUN) mypy

bench: env  ## Measure the student's speed against the paper's network, plainly written
	$(RUN) python benchmark/bench.py

clean:  ## Remove everything that was made
	rm -rf .venv build demo_out *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
