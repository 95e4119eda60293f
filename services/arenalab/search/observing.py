"""What Search shows of its work: trace, metrics."""

from typing import Final

from arenalab.api.common.v1 import plan_pb2
from arenalab.mesh import Telemetry, annotate
from arenalab.mesh import telemetry as names
from arenalab.planning import Engine, Strategy
from arenalab.search.collection.snapshot import Snapshot
from arenalab.search.finding.finder import Answer
from arenalab.search.finding.retrieval import Found
from arenalab.search.recall.certificate import Certificate
from arenalab.search.recall.shadow import Outcome

_NS_PER_S: Final = 1e9
_US_PER_S: Final = 1e6


class Observer:
    """Records searches and the sizes of collections."""

    def __init__(self, telemetry: Telemetry, embedder_id: str) -> None:
        self._telemetry = telemetry
        self._embedder_id = embedder_id
        duration = telemetry.metrics.part_duration
        self._embed_duration = duration.labels("embed")
        self._search_duration = duration.labels("search")

    def searched(self, found: Found, took_us: int) -> None:
        """Records a search for a vector on the call being served."""
        self._search_duration.observe(took_us / _US_PER_S)
        self._annotate(found)

    def answered(self, answer: Answer, plan: plan_pb2.QueryPlan) -> None:
        """Records a search for a text on the call being served."""
        self._embed_duration.observe((answer.embedded_ns - answer.started_ns) / _NS_PER_S)
        self._search_duration.observe((answer.searched_ns - answer.embedded_ns) / _NS_PER_S)
        self._annotate(answer.found)
        annotate({names.PLAN_COST_US: plan.cost_us, names.PLAN_EXPLANATION: plan.explanation})
        # The work ran on another thread, where a span cannot be opened cheaply.
        dataset = answer.found.snapshot.record.dataset
        self._span(f"embeddings {self._embedder_id}", answer.started_ns, answer.embedded_ns)
        self._span(f"retrieval {dataset}", answer.embedded_ns, answer.searched_ns)

    def _annotate(self, found: Found) -> None:
        if not names.is_recorded():
            return
        record, main = found.snapshot.record, found.main
        annotate(
            {
                names.DATASET: record.dataset,
                names.DATASET_VERSION: record.version,
                names.PLAN_ENGINE: (Engine.EXACT if main is None else main.plan.engine).value,
                names.PLAN_STRATEGY: (Strategy.SCAN if main is None else main.plan.strategy).value,
                names.SEARCH_EXACT: main is None or main.exact,
                names.SEARCH_MATCHES: found.matches,
            }
        )

    def repeated(self, outcome: Outcome, certificate: Certificate | None) -> None:
        """Records what became of a search that was picked, and what is known since."""
        metrics = self._telemetry.metrics
        metrics.shadow_searches.labels(outcome.value).inc()
        if certificate is not None and certificate.recall is not None:
            metrics.search_recall.labels(certificate.band).set(certificate.recall)

    def changed(self, snapshot: Snapshot) -> None:
        """Records the size of a collection."""
        record = snapshot.record
        metrics, labels = self._telemetry.metrics, (record.tenant, record.dataset)
        metrics.spans.labels(*labels).set(len(snapshot))
        removed = sum(len(segment.removed) for segment in snapshot.segments)
        rows = sum(len(segment) for segment in snapshot.segments)
        metrics.tombstone_ratio.labels(*labels).set(removed / rows if rows else 0.0)
        metrics.quarantined.labels(*labels).set(snapshot.hidden)

    def _span(self, name: str, started_ns: int, ended_ns: int) -> None:
        span = self._telemetry.tracer.start_span(name, start_time=started_ns)
        span.end(end_time=ended_ns)
