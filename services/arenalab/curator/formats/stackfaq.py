"""StackFAQ: {"root": {"qapair": [{"question", "rephr", "answer"}, …]}}.

Each question and each of its rephrasings is a row whose outcome is the first answer,
the one that the thread's readers ranked highest; the others are kept as an
attribute. "*" and null stand for a rephrasing that nobody wrote, and are skipped.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from arenalab.atomic import JSON, Metadata, Span, Status, derived_span
from arenalab.curator.formats.json_elements import Element, JsonElements, decoded
from arenalab.curator.formats.rows import Item, Origin, Reject, Skip, not_of_format, row_or_reject

NAME: Final = "stackfaq"
_PATH: Final = ("root", "qapair")
_MISSING: Final = frozenset({"", "*"})
# Attributes may take 64 KiB of JSON, in which a character may take six bytes.
_MAX_KEPT_CHARACTERS: Final = 8192


class StackFaqReader:
    """Reads threads; the line of a row is where its thread begins."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._elements = JsonElements(NAME)

    def feed(self, data: bytes) -> Iterator[Item]:
        for element in self._elements.feed(data):
            yield from self._items(element)

    def close(self) -> Iterator[Item]:
        for element in self._elements.close():
            yield from self._items(element)
        if _PATH not in self._elements.arrays:
            raise not_of_format(NAME, 1, 'the object must hold the array "root"."qapair"')

    def _items(self, element: Element) -> Iterator[Item]:
        if element.path != _PATH:
            raise not_of_format(
                NAME, element.line, f"there must be no array at {'.'.join(element.path)[:80]!a}"
            )
        try:
            thread = decoded(element.raw)
        except ValueError as error:
            yield Reject(element.line, str(error), element.raw)
            return
        match thread:
            case {"question": question, "rephr": [*rephrasings], "answer": answer}:
                answers = answer if isinstance(answer, list) else [answer]
                yield from self._rows(element, [question, *rephrasings], answers)
            case _:
                why = "a thread must have question, rephr (an array) and answer"
                yield Reject(element.line, why, element.raw, foreign=True)

    def _rows(
        self, element: Element, questions: Sequence[object], answers: Sequence[object]
    ) -> Iterator[Item]:
        texts = [text.strip() for text in answers if isinstance(text, str) and text.strip()]
        if len(texts) < len(answers) or not texts:
            yield Reject(
                element.line, "answer must be one text or more, none of them blank", element.raw
            )
            return
        for question in questions:
            if question is None or (isinstance(question, str) and question.strip() in _MISSING):
                yield Skip(element.line)
            elif isinstance(question, str):
                raw = question.encode(errors="backslashreplace")
                build = partial(self._span, element.line, question.strip(), texts)
                yield row_or_reject(element.line, raw, build)
            else:
                yield Reject(element.line, "a question must be a text", element.raw)

    def _span(self, line: int, question: str, answers: Sequence[str]) -> Span:
        attributes: dict[str, JSON] = {"file": self._origin.file_name, "line": line}
        others: list[JSON] = list(answers[1:])
        if others and sum(map(len, answers[1:])) <= _MAX_KEPT_CHARACTERS:
            attributes["other_answers"] = others
        return derived_span(
            source="public_dataset",
            who="stackexchange user",
            did="ask_question",
            this=question,
            when=self._origin.when,
            status=Status.COMPLETED,
            if_ok=answers[0],
            confirmed_by="stackexchange votes",
            metadata=Metadata(attributes=attributes),
        )
