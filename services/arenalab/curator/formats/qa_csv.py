"""Questions and answers in CSV, with TruthfulQA's columns.

Question becomes `this`, Best Answer `if_ok`, Category the domain. Source says who
confirms the answer. The other answers are kept as attributes.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import Final

from arenalab.atomic import JSON, Context, Metadata, Span, Status, derived_span
from arenalab.curator.formats.csv_records import CsvRecords, Record
from arenalab.curator.formats.rows import Item, Origin, Reject, not_of_format, row_or_reject

NAME: Final = "qa_csv"
_REQUIRED: Final = ("question", "best answer")
_MAX_CONFIRMED_BY: Final = 256
_NO_TOKEN: Final = re.compile(r"[^a-z0-9]+")


class QaCsvReader:
    """Reads records by the names of the header's columns, in any order and case."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._records = CsvRecords()
        self._columns: list[str] = []

    def feed(self, data: bytes) -> Iterator[Item]:
        for record in self._records.feed(data):
            yield from self._item(record)

    def close(self) -> Iterator[Item]:
        for record in self._records.close():
            yield from self._item(record)
        if not self._columns:
            raise not_of_format(NAME, 1, "the file is empty")

    def _item(self, record: Record) -> Iterator[Item]:
        if not record.raw.strip():
            return
        if not record.is_whole:
            fields: Sequence[str] | str = "a quote is never closed, or the row is longer than 1 MiB"
        else:
            fields = _fields(record.raw)
        if not self._columns:
            self._columns = self._header(record, fields)
        elif isinstance(fields, str):
            yield Reject(record.line, fields, record.raw)
        elif len(fields) != len(self._columns):
            why = f"the header has {len(self._columns)} columns, the row has {len(fields)}"
            yield Reject(record.line, why, record.raw)
        else:
            row = dict(zip(self._columns, fields, strict=True))
            yield row_or_reject(record.line, record.raw, lambda: self._span(record.line, row))

    def _header(self, record: Record, fields: Sequence[str] | str) -> list[str]:
        if isinstance(fields, str):
            raise not_of_format(NAME, record.line, fields)
        columns = [field.strip().casefold() for field in fields]
        missing = [name for name in _REQUIRED if name not in columns]
        if missing:
            raise not_of_format(
                NAME, record.line, f"the header row has no column {' and none '.join(missing)}"
            )
        return columns

    def _span(self, line: int, row: dict[str, str]) -> Span:
        source = row.get("source", "").strip()
        attributes: dict[str, JSON] = {"file": self._origin.file_name, "line": line}
        for name in ("correct answers", "incorrect answers"):
            if answers := _answers(row.get(name, "")):
                attributes[name.replace(" ", "_")] = answers
        if len(source) > _MAX_CONFIRMED_BY:
            attributes["confirmed_by"] = source
        return derived_span(
            source="user_upload",
            who="user",
            did="ask_question",
            this=row["question"].strip(),
            when=self._origin.when,
            status=Status.COMPLETED,
            if_ok=row["best answer"].strip(),
            confirmed_by=source[:_MAX_CONFIRMED_BY] or None,
            context=Context(environment=domain_of(row.get("category", ""))),
            metadata=Metadata(attributes=attributes),
        )


def domain_of(category: str) -> str:
    """Returns a category as a path of tokens: "Confusion: People" is "confusion/people"."""
    tokens = (_NO_TOKEN.sub("_", part.casefold()).strip("_")[:64] for part in category.split(":"))
    return "/".join(token for token in tokens if token)


def _fields(raw: bytes) -> list[str] | str:
    """Returns the fields of a record, or why it has none."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return f"the row is not UTF-8: byte {error.start} of it"
    try:
        return next(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        return f"the row is not CSV: {error}"


def _answers(text: str) -> list[JSON]:
    return [answer.strip() for answer in text.split(";") if answer.strip()]
