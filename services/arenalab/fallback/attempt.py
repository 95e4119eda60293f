"""One request to one provider: its span, its count, and what its breaker learns of it."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from opentelemetry import trace

from arenalab.fallback.breaker import Breaker, Ticket
from arenalab.fallback.config import ProviderConfig
from arenalab.fallback.events import Finished
from arenalab.fallback.order import Order
from arenalab.fallback.refusals import ProviderError
from arenalab.mesh import Telemetry, telemetry

# OpenTelemetry's generative AI conventions. Prompts and completions are left out on
# purpose: they are the user's content.
_SAMPLING: Final = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "max_tokens": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
    "stop": "gen_ai.request.stop_sequences",
}


class Attempt:
    """Open from the request to the last piece of the answer, or to the failure.

    It is entered twice, around getting the first piece and around reading the
    others. Left by an exception that was not reported, it counts as given up.
    """

    def __init__(
        self,
        *,
        config: ProviderConfig,
        order: Order,
        breaker: Breaker,
        ticket: Ticket,
        observed: Telemetry,
        now: Callable[[], float],
    ) -> None:
        self.name = config.name
        self.model = order.model or config.default_model
        self._breaker = breaker
        self._ticket = ticket
        self._calls = observed.metrics.provider_calls
        self._now = now
        self._started_s = now()
        self._has_begun = False
        self._has_ended = False
        url = urlsplit(config.base_url)
        # Not the current span: the answer is streamed, and a generator that is closed
        # from outside may end in another context than it began in.
        self._span = observed.tracer.start_span(
            f"chat {self.model}",
            kind=trace.SpanKind.CLIENT,
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": config.name,
                "gen_ai.request.model": self.model,
                "gen_ai.request.stream": True,
                "server.address": url.hostname or "",
                "server.port": url.port or (443 if url.scheme == "https" else 80),
                telemetry.EVIDENCE_COUNT: len(order.evidence),
                **{_SAMPLING[k]: v for k, v in order.sampling.items()},
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None or self._has_ended:
            return
        # The caller went away, or its deadline passed.
        if self._has_begun:
            self._breaker.succeeded(self._ticket)
        else:
            self._breaker.abandoned(self._ticket)
        self._end("cancelled", "cancelled")

    def begun(self) -> None:
        """Records that the first piece is here."""
        self._has_begun = True
        self._span.set_attribute(
            "gen_ai.response.time_to_first_chunk", self._now() - self._started_s
        )

    def succeeded(self, completion_id: str, model: str, finished: Finished) -> None:
        """Records a whole answer."""
        self._breaker.succeeded(self._ticket)
        self._span.set_attributes(
            {
                "gen_ai.response.id": completion_id,
                "gen_ai.response.model": model,
                "gen_ai.response.finish_reasons": [finished.finish_reason],
                "gen_ai.usage.input_tokens": finished.prompt_tokens,
                "gen_ai.usage.output_tokens": finished.completion_tokens,
                **{name: count for name, count in _parts_of(finished) if count},
            }
        )
        self._end("ok")

    def refused(self, outcome: str) -> None:
        """Records that the provider works, but not for this request."""
        self._breaker.succeeded(self._ticket)
        self._end(outcome, outcome)

    def failed(self, status: str, *, is_at_fault: bool = True) -> None:
        """Records that the provider did not answer, and whether that says how it works."""
        if is_at_fault:
            self._breaker.failed(self._ticket)
        else:
            self._breaker.abandoned(self._ticket)
        self._end("broken" if self._has_begun else "failed", status)

    def error(self, message: str, status: str) -> ProviderError:
        """Returns an error of this provider."""
        return ProviderError(message, name=self.name, status=status)

    def _end(self, outcome: str, error_type: str = "") -> None:
        self._has_ended = True
        self._calls.labels(self.name, outcome).inc()
        if error_type:
            self._span.set_attribute(telemetry.ERROR_TYPE, error_type)
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()


def _parts_of(finished: Finished) -> Sequence[tuple[str, int]]:
    return (
        ("gen_ai.usage.cache_read.input_tokens", finished.cached_prompt_tokens),
        ("gen_ai.usage.reasoning.output_tokens", finished.reasoning_tokens),
    )
