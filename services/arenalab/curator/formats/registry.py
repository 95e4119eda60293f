"""Formats by name."""

from enum import StrEnum

from arenalab.curator.formats import clinc150, qa_csv, spans, stackfaq
from arenalab.curator.formats.rows import Origin, Reader


class Format(StrEnum):
    """A format that can be ingested."""

    SPANS = spans.NAME
    QA_CSV = qa_csv.NAME
    CLINC150 = clinc150.NAME
    STACKFAQ = stackfaq.NAME


def open_reader(name: Format, origin: Origin) -> Reader:
    """Returns a new reader of one file."""
    match name:
        case Format.SPANS:
            return spans.SpanReader()
        case Format.QA_CSV:
            return qa_csv.QaCsvReader(origin)
        case Format.CLINC150:
            return clinc150.Clinc150Reader(origin)
        case Format.STACKFAQ:
            return stackfaq.StackFaqReader(origin)
