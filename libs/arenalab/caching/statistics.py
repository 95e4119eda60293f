"""What a cache did, for /metrics."""

import threading

from arenalab.mesh import Metrics


class LayerStatistics:
    """Counts of one layer of one cache. May be called on any thread."""

    def __init__(self, metrics: Metrics, cache: str, layer: str) -> None:
        requests = metrics.cache_requests
        self._hits = requests.labels(cache, layer, "hit")
        self._misses = requests.labels(cache, layer, "miss")
        self._errors = metrics.cache_errors.labels(cache, layer)
        self._evictions = metrics.cache_evictions.labels(cache, layer)
        self._bytes = metrics.cache_bytes.labels(cache, layer)
        self._lock = threading.Lock()
        self.hits = self.misses = self.errors = self.evictions = 0
        metrics.cache_hit_ratio.labels(cache, layer).set_function(lambda: self.hit_ratio)

    @property
    def hit_ratio(self) -> float:
        """Share of the keys asked for that were there, in [0, 1]; 0 before the first."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0

    def looked(self, *, hits: int, misses: int) -> None:
        """Counts keys that were asked for."""
        with self._lock:
            self.hits += hits
            self.misses += misses
        if hits:
            self._hits.inc(hits)
        if misses:
            self._misses.inc(misses)

    def failed(self) -> None:
        """Counts an operation that the layer could not do, or a value that it must not use."""
        with self._lock:
            self.errors += 1
        self._errors.inc()

    def evicted(self, count: int) -> None:
        """Counts values that went before their time, for want of room."""
        with self._lock:
            self.evictions += count
        self._evictions.inc(count)

    def hold(self, size_bytes: float) -> None:
        """Says how much the layer holds."""
        self._bytes.set(size_bytes)
