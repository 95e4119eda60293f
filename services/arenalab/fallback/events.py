"""The events of a completion, in the order in which they come: one start, deltas, one end."""

from dataclasses import dataclass

from arenalab.fallback.citations import Grounding


@dataclass(frozen=True, slots=True)
class Started:
    """The provider has sent its first token."""

    provider: str
    model: str
    attempts: int
    is_hedged: bool = False


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the completion."""

    text: str
    tool_calls_json: str
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """The completion is whole."""

    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    cited_span_ids: tuple[str, ...]
    cached_prompt_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd_micros: int | None = None  # None: not known
    grounding: Grounding = Grounding.NONE


Event = Started | Delta | Finished
