"""The counts of calls, tokens and money, by provider and model."""

from typing import Final

from arenalab.fallback.bill import Bill
from arenalab.mesh import Metrics

# A label's values stay in the process and in Prometheus for good, and callers name models.
MAX_MODELS: Final = 200
OTHER: Final = "other"


class Meter:
    """Counts; models beyond the first 200 that answered count as one."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._models: set[str] = set()

    def ended(self, provider: str, model: str, outcome: str, bill: Bill) -> None:
        """Counts one request, with what it cost and the tokens that the provider counted."""
        self._metrics.provider_calls.labels(provider, outcome).inc()
        usage, cost = bill.usage, bill.cost_usd_micros
        counts = {
            "input": usage.prompt_tokens,
            "output": usage.completion_tokens,
            "cached_input": usage.cached_prompt_tokens,
        }
        if not cost and not any(counts.values()):
            return
        label = self._label(model)
        if cost:
            self._metrics.provider_cost.labels(provider, label).inc(cost)
        for kind, count in counts.items():
            if count:
                self._metrics.provider_tokens.labels(provider, label, kind).inc(count)

    def skipped(self, provider: str, outcome: str) -> None:
        """Counts a provider that was not asked."""
        self._metrics.provider_calls.labels(provider, outcome).inc()

    def hedged(self, outcome: str) -> None:
        """Counts a call for which a second provider was asked, by who was faster."""
        self._metrics.provider_hedges.labels(outcome).inc()

    def _label(self, model: str) -> str:
        if model not in self._models:
            if len(self._models) >= MAX_MODELS:
                return OTHER
            self._models.add(model)
        return model
