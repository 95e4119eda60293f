"""Citations of an answer as the `url_citation` annotations of the OpenAI API. Pure."""

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb

# A stable name for a span where no page shows it. RFC 3986: a scheme and a path.
DEFAULT_SPAN_URL: Final = "arenalab:span/{id}"
MAX_TITLE: Final = 200
# How a provider cites the records of its prompt: "[2]", "[1, 3]".
_MARK: Final = re.compile(r"\[\s*(\d{1,4}(?:\s*,\s*\d{1,4})*)\s*\]", re.ASCII)
_PROVIDERS: Final = frozenset({pb.ROUTE_FALLBACK, pb.ROUTE_PROVIDER})


class Annotator:
    """Says which spans stand behind which characters of an answer."""

    def __init__(self, span_url: str = DEFAULT_SPAN_URL) -> None:
        """`span_url` has `{id}` where the span's id goes."""
        self._span_url = span_url

    def citations(self, text: str, finished: pb.AnswerFinished) -> list[dict[str, Any]]:
        """Returns one citation for each place and span: start, end, title and URL.

        Places count characters of `text`, the end exclusive.
        """
        titles = {item.span_id: item.question for item in finished.evidence}
        return [
            {
                "start_index": start,
                "end_index": end,
                "title": titles.get(span_id, "")[:MAX_TITLE] or span_id,
                "url": self._span_url.replace("{id}", quote(span_id, safe="")),
            }
            for start, end, span_id in _places(text, finished)
        ]


def _places(text: str, finished: pb.AnswerFinished) -> Iterator[tuple[int, int, str]]:
    if finished.route in _PROVIDERS:
        yield from _marks(text, finished)
    elif finished.route == pb.ROUTE_MEMORY and finished.sentences:
        yield from _sentences(text, finished)
    elif finished.route == pb.ROUTE_MEMORY:
        yield from ((0, len(text), item.span_id) for item in finished.evidence if item.supports)


def _sentences(text: str, finished: pb.AnswerFinished) -> Iterator[tuple[int, int, str]]:
    position = 0
    for sentence in finished.sentences:
        start = text.find(sentence.text, position)
        if start < 0:  # not worded as it was served: better no place than a wrong one
            continue
        position = start + len(sentence.text)
        yield from ((start, position, span_id) for span_id in sentence.span_ids)


def _marks(text: str, finished: pb.AnswerFinished) -> Iterator[tuple[int, int, str]]:
    # A prompt holds the first records of the evidence, numbered from 1.
    for mark in _MARK.finditer(text):
        for number in map(int, mark[1].split(",")):
            if 1 <= number <= len(finished.evidence):
                item = finished.evidence[number - 1]
                if item.supports:  # as the fallback, which knows the prompt, says
                    yield mark.start(), mark.end(), item.span_id


def of_chat(citation: dict[str, Any]) -> dict[str, Any]:
    """Returns a citation as a chat message has it."""
    return {"type": "url_citation", "url_citation": citation}


def of_response(citation: dict[str, Any]) -> dict[str, Any]:
    """Returns a citation as a part of a response's output has it."""
    return {"type": "url_citation", **citation}
