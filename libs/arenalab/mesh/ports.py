"""Every default port, once."""

from typing import Final

GATEWAY: Final = 8080  # HTTP: the OpenAI endpoint, /health, /ready, /metrics
ENVOY_HTTP: Final = 10000
ENVOY_GRPC: Final = 10001
LOCAL_LLM: Final = 8090

SEARCH: Final = 50051
PLANNER: Final = 50052
PREDICTOR: Final = 50053
ENSEMBLE: Final = 50054
FALLBACK: Final = 50055
LEDGER: Final = 50056
CURATOR: Final = 50057

# A service's Prometheus endpoint listens this much above its gRPC port.
METRICS_OFFSET: Final = 1000
