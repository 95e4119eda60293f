"""One request to one provider: its span, its counts, its bill, and what is learnt of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from opentelemetry import trace

from arenalab.fallback.bill import Bill
from arenalab.fallback.endpoint import Endpoint, Leave
from arenalab.fallback.events import Finished
from arenalab.fallback.latency import Latencies
from arenalab.fallback.metering import Meter
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
# Of failures before the answer begins: the request may have been worked on until then.
_WORKED_ON: Final = frozenset({"timeout"})


@dataclass(frozen=True, slots=True)
class Watch:
    """What watches over all attempts."""

    telemetry: Telemetry
    meter: Meter
    latencies: Latencies
    now: Callable[[], float]


class Attempt:
    """Open from the request to the last piece of the answer, or to the failure.

    It is entered twice, around getting the first token and around reading the others.
    Left by an exception that was not reported, it counts as given up.
    """

    def __init__(
        self,
        *,
        endpoint: Endpoint,
        model: str,
        leave: Leave,
        bill: Bill,
        order: Order,
        watch: Watch,
    ) -> None:
        self.name = endpoint.name
        self.model = model
        self.bill = bill
        self._endpoint = endpoint
        self._leave = leave
        self._watch = watch
        self._started_s = watch.now()
        self._has_begun = False
        self._has_ended = False
        watch.latencies.asked(self.name, model)
        url = urlsplit(endpoint.config.base_url)
        # Not the current span: the answer is streamed, and a generator that is closed
        # from outside may end in another context than it began in.
        self._span = watch.telemetry.tracer.start_span(
            f"chat {self.model}",
            kind=trace.SpanKind.CLIENT,
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": self.name,
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
        if kind is not None:
            self.given_up()

    def begun(self) -> None:
        """Records that the first token is here."""
        self._has_begun = True
        first_token_s = self._watch.now() - self._started_s
        self._watch.latencies.answered(self.name, self.model, first_token_s)
        self._span.set_attribute("gen_ai.response.time_to_first_chunk", first_token_s)

    def succeeded(self, completion_id: str, model: str, finished: Finished) -> None:
        """Records a whole answer."""
        self._leave.succeeded()
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
        self.bill.settle_whole()
        self._end("ok")

    def refused(self, outcome: str) -> None:
        """Records that the provider works, but not for this request."""
        self._leave.refused()
        self.bill.settle_nothing()
        self._end(outcome, outcome)

    def failed(self, status: str, *, is_at_fault: bool = True) -> None:
        """Records that the provider did not answer, and whether that says how it works."""
        if not is_at_fault:
            self._leave.abandoned()
        else:
            self._leave.failed(status if not self._has_begun else "")
            if not self._has_begun:
                self._watch.latencies.failed(self.name, self.model)
        if self._has_begun or status in _WORKED_ON:
            self.bill.settle_cut()
        else:
            self.bill.settle_nothing()
        self._end("broken" if self._has_begun else "failed", status)

    def given_up(self) -> None:
        """Records that nobody waits any more: the caller left, or another was faster."""
        if self._has_ended:
            return
        if self._has_begun:
            self._leave.succeeded()
        else:
            self._leave.abandoned()
            waited_s = self._watch.now() - self._started_s
            self._watch.latencies.given_up(self.name, self.model, waited_s)
        self.bill.settle_cut()
        self._end("cancelled", "cancelled")

    def error(self, message: str, status: str) -> ProviderError:
        """Returns an error of this provider."""
        return ProviderError(message, name=self.name, status=status)

    def _end(self, outcome: str, error_type: str = "") -> None:
        self._has_ended = True
        self._endpoint.left()
        self._watch.meter.ended(self.name, self.model, outcome, self.bill)
        if (cost := self.bill.cost_usd_micros) is not None:
            self._span.set_attribute(telemetry.COST_USD_MICROS, cost)
        if error_type:
            self._span.set_attribute(telemetry.ERROR_TYPE, error_type)
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()


def _parts_of(finished: Finished) -> Sequence[tuple[str, int]]:
    return (
        ("gen_ai.usage.cache_read.input_tokens", finished.cached_prompt_tokens),
        ("gen_ai.usage.reasoning.output_tokens", finished.reasoning_tokens),
    )
