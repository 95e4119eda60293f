# Every target sets up what it needs: a virtual environment, the dependencies and
# the embedder's model, each once.
.DEFAULT_GOAL := help
.PHONY: help demo test up check lint types proto proto-check fmt model envoy-check crash-ledger \
        conformance bench-gateway soak-gateway fuzz-gateway clean

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STUBS  := libs
PROTOS := $(sort $(shell find protos -name '*.proto'))
MODEL  := services/arenalab/search/model/minilm-l6-v2-int8-token.onnx

help: ## This list.
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 16

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch $@

model: $(VENV)/.installed ## Build the embedder's model, once.
	@$(BIN)/python -m arenalab.search.embedder.build

demo: model ## Curate, publish, start the mesh and ask five questions. ONCE=1: do not stay up.
	$(BIN)/arenalab demo $(if $(ONCE),--once)

up: model ## The mesh on loopback, from .arenalab/.
	$(BIN)/arenalab up

lint: $(VENV)/.installed
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.installed
	$(BIN)/mypy

proto: $(VENV)/.installed ## Regenerate libs/arenalab/api from protos/.
	find $(STUBS)/arenalab/api -name '*_pb2*.py*' -delete
	$(BIN)/python -m grpc_tools.protoc -I protos --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	  --python_out=$(STUBS) --mypy_out=quiet:$(STUBS) $(PROTOS)
	$(BIN)/python -m grpc_tools.protoc -I protos --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	  --grpc_python_out=$(STUBS) --mypy_grpc_out=quiet:$(STUBS) $(filter %_service.proto,$(PROTOS))

proto-check: $(VENV)/.installed ## Fail if libs/arenalab/api is not what protos/ gives.
	@rm -rf build/proto-check && mkdir -p build/proto-check/arenalab/api
	@$(MAKE) --no-print-directory proto STUBS=build/proto-check
	@diff -r -x __pycache__ -x __init__.py -x py.typed build/proto-check/arenalab/api libs/arenalab/api
	@echo "protos unchanged"

check: lint types proto-check ## Everything but the tests.

# Tests wait for processes, disks and timers most of the time: two at once take half the time.
test: WORKERS ?= 2
test: model check envoy-check ## Every check and every test. WORKERS=N: processes that run them.
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

envoy-check: $(VENV)/.installed ## Validate Envoy's configuration with the real Envoy.
	$(BIN)/python -m pytest -q tests/e2e/test_envoy_config.py

conformance: model ## Real clients against the whole mesh: the table client x feature.
	$(BIN)/python -m tests.conformance.clients $(ARGS)

bench-gateway: model ## The gateway beside the LiteLLM proxy, which it installs below build/.
	$(BIN)/python -m tests.bench.gateway $(ARGS)

soak-gateway: MINUTES ?= 30
soak-gateway: model ## Mixed load on the whole mesh, watched for leaks. MINUTES=30.
	$(BIN)/python -m tests.bench.gateway.soak --minutes $(MINUTES) $(ARGS)

bench-search: SIZE ?= 10000
bench-search: model ## Search beside its raw parts. SIZE=100000: more spans.
	$(BIN)/python -m tests.bench.bench_search --size $(SIZE) $(ARGS)

bench-cache: model ## Repeated questions beside new ones, at the predictor and through the mesh.
	$(BIN)/python -m tests.bench.bench_cache $(ARGS)

bench-%: model ## A benchmark: bench-mesh, bench-ledger, bench-sealing.
	$(BIN)/python tests/bench/bench_$*.py $(ARGS)

fuzz-gateway: BODIES ?= 100000
fuzz-gateway: EXAMPLES ?= 100
fuzz-gateway: model ## Bodies through the gateway's parsers, then requests from its own document.
	$(BIN)/python -m tests.fuzz --bodies $(BODIES)
	OPENAPI_EXAMPLES=$(EXAMPLES) $(BIN)/pytest -q --timeout 1800 tests/e2e/test_openapi.py

crash-ledger: KILLS ?= 200
crash-ledger: model ## Kill a ledger's writer again and again, on a disk that fails. KILLS=200.
	$(BIN)/python -m tests.crash.ledger --kills $(KILLS) $(ARGS)

fmt: $(VENV)/.installed ## Rewrite what can be rewritten.
	$(BIN)/buf format --write
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## Remove what was built.
	rm -rf build dist $(VENV) services/arenalab/search/model
