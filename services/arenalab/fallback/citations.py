"""Which evidence a text cites, and how it stands to the evidence in its prompt."""

import enum
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from arenalab.fallback.prompt import NOT_IN_EVIDENCE

# "[2]", "[1, 3]". No citations are more digits than any prompt has records, as in a year,
# numbers that begin with 0, and the text of a Markdown link.
_CITATION: Final = re.compile(r"\[\s*([1-9]\d{0,2}(?:\s*,\s*[1-9]\d{0,2})*)\s*\](?!\()", re.ASCII)
# Code between backticks: `argv[1]` cites nothing.
_CODE: Final = re.compile(r"(`{3,})[\s\S]*?(?:\1|\Z)|(`+)[^`\n]+?\2")
# What a sentence may stand in.
_AROUND: Final = " \t\r\n\"'`*_.“”«»"


class Grounding(enum.Enum):
    """How a text stands to the evidence in its prompt."""

    NONE = enum.auto()  # there was none, or nothing was said: tool calls alone
    CITED = enum.auto()  # it cites evidence, and all that it cites was in the prompt
    NOT_IN_EVIDENCE = enum.auto()  # it says, and says only, that the evidence has no answer
    UNCITED = enum.auto()  # it cites nothing
    FALSE_CITATION = enum.auto()  # it cites what was not in the prompt


@dataclass(frozen=True, slots=True)
class Citations:
    """What a text cites."""

    span_ids: tuple[str, ...]  # in the order of first citation, each once
    grounding: Grounding


def citations_of(
    text: str, sources: Mapping[int, Sequence[str]], *, is_formed: bool = False
) -> Citations:
    """Returns what a completion cites as [n].

    Args:
        text: A completion.
        sources: The span ids of each number in the prompt.
        is_formed: Whether the text is JSON; then its strings count, and not its arrays.
    """
    if not sources or not text.strip():
        return Citations((), Grounding.NONE)
    texts = list(_strings_of(text)) if is_formed else [text]
    cited: dict[str, None] = {}
    has_false = False
    for found in (match for each in texts for match in _citations(each)):
        for number in map(int, found[1].split(",")):
            if number in sources:
                cited |= dict.fromkeys(sources[number])
            else:
                has_false = True
    return Citations(tuple(cited), _grounding(texts, bool(cited), has_false=has_false))


def _grounding(texts: Sequence[str], has_cited: bool, *, has_false: bool) -> Grounding:  # noqa: FBT001
    if has_false:
        return Grounding.FALSE_CITATION
    if has_cited:
        return Grounding.CITED
    sentence = NOT_IN_EVIDENCE.strip(_AROUND).casefold()
    # Exactly: a text that goes on after it says something that no evidence holds.
    if any(text.strip(_AROUND).casefold() == sentence for text in texts):
        return Grounding.NOT_IN_EVIDENCE
    return Grounding.UNCITED


def _citations(text: str) -> Iterator[re.Match[str]]:
    return _CITATION.finditer(_CODE.sub(" ", text))


def _strings_of(text: str) -> Iterator[str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # it was cut off, or is no JSON after all
        yield text
        return
    yield from _strings_in(found)


def _strings_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings_in(item)
