"""What Search shows of its work: trace, metrics."""

from typing import Final

from arenalab.mesh import Telemetry, annotate
from arenalab.mesh import telemetry as names
from arenalab.search.finding import Answer
from arenalab.search.snapshot import Snapshot

_NS_PER_S: Final = 1e9


class Observer:
    """Records searches and the sizes of collections."""

    def __init__(self, telemetry: Telemetry, embedder_id: str) -> None:
        self._telemetry = telemetry
        self._embedder_id = embedder_id
        duration = telemetry.metrics.part_duration
        self._embed_duration = duration.labels("embed")
        self._search_duration = duration.labels("search")

    def searched(self, answer: Answer) -> None:
        """Records a search on the call being served."""
        record, found = answer.snapshot.record, answer.found
        self._embed_duration.observe((answer.embedded_ns - answer.started_ns) / _NS_PER_S)
        self._search_duration.observe((answer.searched_ns - answer.embedded_ns) / _NS_PER_S)
        annotate(
            {
                names.DATASET: record.dataset,
                names.DATASET_VERSION: record.version,
                names.PLAN_ENGINE: found.engine.value,
                names.SEARCH_EXACT: found.exact,
                names.SEARCH_MATCHES: found.matches,
            }
        )
        # The work ran on another thread, where a span cannot be opened cheaply.
        self._span(f"embeddings {self._embedder_id}", answer.started_ns, answer.embedded_ns)
        self._span(f"retrieval {record.dataset}", answer.embedded_ns, answer.searched_ns)

    def changed(self, snapshot: Snapshot) -> None:
        """Records the size of a collection."""
        record = snapshot.record
        self._telemetry.metrics.spans.labels(record.tenant, record.dataset).set(len(snapshot))

    def _span(self, name: str, started_ns: int, ended_ns: int) -> None:
        span = self._telemetry.tracer.start_span(name, start_time=started_ns)
        span.end(end_time=ended_ns)
