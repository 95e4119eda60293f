"""CLINC150: {"split": [["text", "intent"], …], …}.

The text is the question and the intent its outcome. What lies in a split that was
not asked for is skipped, and so is what has the intent "oos": it is out of scope by
definition and has no outcome to remember.
"""

from collections.abc import Iterator
from typing import Final

from arenalab.atomic import Context, Metadata, Span, Status, derived_span
from arenalab.curator.formats.json_elements import Element, JsonElements, decoded
from arenalab.curator.formats.rows import Item, Origin, Reject, Skip, not_of_format, row_or_reject
from arenalab.mesh import InvalidInputError

NAME: Final = "clinc150"
OUT_OF_SCOPE: Final = "oos"
_DEFAULT_SPLITS: Final = frozenset({"train"})


class Clinc150Reader:
    """Reads the splits that the header asks for; "train" without one."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._splits = origin.splits or _DEFAULT_SPLITS
        self._elements = JsonElements(NAME)

    def feed(self, data: bytes) -> Iterator[Item]:
        for element in self._elements.feed(data):
            yield self._item(element)

    def close(self) -> Iterator[Item]:
        for element in self._elements.close():
            yield self._item(element)
        found = {path[0] for path in self._elements.arrays if len(path) == 1}
        if not found:
            raise not_of_format(NAME, 1, "the object must hold splits, each an array")
        if missing := sorted(self._splits - found):
            raise InvalidInputError(
                f"the file has no split {missing[0]!a}; it has {', '.join(sorted(found))}",
                field="splits",
            )

    def _item(self, element: Element) -> Item:
        if len(element.path) != 1:
            raise not_of_format(NAME, element.line, "a split must be an array, not an object")
        split = element.path[0]
        if split not in self._splits:
            return Skip(element.line)
        try:
            pair = decoded(element.raw)
        except ValueError as error:
            return Reject(element.line, str(error), element.raw)
        match pair:
            case [str(), str() as intent] if intent == OUT_OF_SCOPE:
                return Skip(element.line)
            case [str() as text, str() as intent]:
                return row_or_reject(
                    element.line,
                    element.raw,
                    lambda: self._span(element.line, split, text, intent),
                )
        return Reject(
            element.line, 'a row must be ["text", "intent"], two texts', element.raw, foreign=True
        )

    def _span(self, line: int, split: str, text: str, intent: str) -> Span:
        return derived_span(
            source="public_dataset",
            who="crowd worker",
            did="classify_intent",
            this=text.strip(),
            when=self._origin.when,
            status=Status.COMPLETED,
            if_ok=intent,
            confirmed_by="CLINC150 annotation",
            context=Context(environment=self._origin.domains.get(intent, "")),
            metadata=Metadata(
                attributes={"file": self._origin.file_name, "line": line, "split": split}
            ),
        )
