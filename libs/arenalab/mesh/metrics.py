"""The name of every metric, and their Prometheus endpoint.

Names follow the OpenTelemetry semantic conventions where one exists, with
Prometheus's unit suffix; ours begin with `arenalab_`.
"""

import asyncio
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from arenalab.mesh.errors import NotReadyError

# Buckets of the rpc.server.call.duration convention, extended downwards: a
# memory answer's parts take tenths of a millisecond.
SECONDS_BUCKETS: Final = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
)  # fmt: skip
SHARE_BUCKETS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
SIZE_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Every metric of one process; services that share a process share it."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.rpc_server_duration = Histogram(
            "rpc_server_call_duration_seconds",
            "Time from request to last byte, by service and outcome.",
            ("service", "rpc_method", "rpc_response_status_code"),
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self.http_server_duration = Histogram(
            "http_server_request_duration_seconds",
            "Time from request to last byte at the gateway.",
            ("http_route", "http_response_status_code"),
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self.answers = Counter(
            "arenalab_answers_total",
            "Answers by route and by the reason why memory abstained.",
            ("route", "abstain_reason"),
            registry=self.registry,
        )
        self.guardrails = Counter(
            "arenalab_guardrails_total",
            "Verdicts of guardrails: pass, redact or block, on an input or an output.",
            ("guardrail", "stage", "action"),
            registry=self.registry,
        )
        self.confidence = Histogram(
            "arenalab_confidence",
            "Calibrated confidence of memory's output, served or not.",
            buckets=SHARE_BUCKETS,
            registry=self.registry,
        )
        self.guarantee_status = Gauge(
            "arenalab_guarantee_status",
            "Whether the bound holds, by dataset: 1 valid, 2 degraded, 3 void.",
            ("tenant", "dataset"),
            registry=self.registry,
        )
        self.guarantee_e_value = Gauge(
            "arenalab_guarantee_e_value",
            "E-value of a running test against the bound, by dataset; 1 says nothing.",
            ("tenant", "dataset", "test"),
            registry=self.registry,
        )
        self.part_duration = Histogram(
            "arenalab_part_duration_seconds",
            "Time of one part of the work: embed, search, predict, fallback, ledger.",
            ("part",),
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self.ledger_batch = Histogram(
            "arenalab_ledger_batch_entries",
            "Entries sealed by one fsync.",
            buckets=SIZE_BUCKETS,
            registry=self.registry,
        )
        self.ledger_size = Gauge(
            "arenalab_ledger_entries", "Entries in all logs.", registry=self.registry
        )
        self.spans = Gauge(
            "arenalab_spans", "Spans served, by dataset.", ("tenant", "dataset"),
            registry=self.registry,
        )  # fmt: skip
        self.tombstone_ratio = Gauge(
            "arenalab_tombstone_ratio",
            "Share of the indexed spans that were deleted or replaced, by dataset.",
            ("tenant", "dataset"),
            registry=self.registry,
        )
        self.quarantined = Gauge(
            "arenalab_quarantined_spans",
            "Spans hidden from every search, by dataset.",
            ("tenant", "dataset"),
            registry=self.registry,
        )
        self.shadow_searches = Counter(
            "arenalab_search_shadow_total",
            "Searches picked to be repeated exactly, by what became of them.",
            ("outcome",),
            registry=self.registry,
        )
        self.search_recall = Gauge(
            "arenalab_search_recall",
            "Estimated recall of approximate searches, by engine, selectivity, limit and effort.",
            ("band",),
            registry=self.registry,
        )
        self.provider_calls = Counter(
            "arenalab_provider_calls_total",
            "Calls to fallback providers by outcome.",
            ("provider", "outcome"),
            registry=self.registry,
        )
        self.provider_tokens = Counter(
            "arenalab_provider_tokens_total",
            "Tokens that fallback providers counted; cached_input is a part of input.",
            ("provider", "model", "kind"),
            registry=self.registry,
        )
        self.provider_cost = Counter(
            "arenalab_provider_cost_usd_micros_total",
            "Cost of calls to fallback providers, in millionths of a US dollar.",
            ("provider", "model"),
            registry=self.registry,
        )
        self.provider_hedges = Counter(
            "arenalab_provider_hedges_total",
            "Completions for which a second provider was asked, by whether it was faster.",
            ("outcome",),
            registry=self.registry,
        )
        self.cache_requests = Counter(
            "arenalab_cache_requests_total",
            "Keys that a layer of a cache was asked for, by whether it had them.",
            ("cache", "layer", "outcome"),
            registry=self.registry,
        )
        self.cache_hit_ratio = Gauge(
            "arenalab_cache_hit_ratio",
            "Share of the keys asked for that a layer had, since the process began.",
            ("cache", "layer"),
            registry=self.registry,
        )
        self.cache_errors = Counter(
            "arenalab_cache_errors_total",
            "Operations that a layer could not do, and values that it must not use.",
            ("cache", "layer"),
            registry=self.registry,
        )
        self.cache_evictions = Counter(
            "arenalab_cache_evictions_total",
            "Values that went before their time, for want of room.",
            ("cache", "layer"),
            registry=self.registry,
        )
        self.cache_bytes = Gauge(
            "arenalab_cache_bytes",
            "Bytes that a layer holds, keys and overhead included; not of Redis.",
            ("cache", "layer"),
            registry=self.registry,
        )
        self._tasks = Gauge(
            "arenalab_asyncio_tasks",
            "Unfinished tasks of the process's event loop.",
            registry=self.registry,
        )
        self.channels = Gauge(
            "arenalab_grpc_channels", "Open channels to peers.", registry=self.registry
        )

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Counts the tasks of the process's event loop, whenever somebody looks."""
        self._tasks.set_function(lambda: len(asyncio.all_tasks(loop)))


def serve_metrics(metrics: Metrics, host: str, port: int) -> None:
    """Serves /metrics on a daemon thread for the life of the process.

    Raises:
        NotReadyError: The port is taken.
    """
    try:
        start_http_server(port, host, metrics.registry)
    except OSError as error:
        raise NotReadyError(f"cannot serve metrics on {host}:{port}: {error.strerror}") from error
