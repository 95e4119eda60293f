"""What a log can be asked, beside one entry by its name."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from blake3 import blake3

from arenalab.ledger.entry import Entry, check_span_id, checked_entry
from arenalab.ledger.line import EntryLine, time_ns
from arenalab.ledger.log import Log
from arenalab.mesh import InvalidInputError

MAX_REASON: Final = 1024


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries a scan takes. Times in nanoseconds since the epoch."""

    tenant: str
    kinds: Collection[str] = ()  # none: all
    start_ns: int | None = None  # inclusive
    end_ns: int | None = None  # exclusive


@dataclass(frozen=True, slots=True)
class Supersession:
    """That a span was found to be wrong."""

    span_id: str
    reason: str
    replacement_id: str
    leaf_index: int
    time: str


def scan(log: Log, wanted: Filter, first: int = 0) -> Iterator[EntryLine | None]:
    """Yields the acknowledged entries that a filter takes, in order; None for one it does not.

    The caller thus sees how far it has come, and may stop between two entries.

    Raises:
        DataLossError: CORRUPT_LEDGER; a line is not what was sealed.
    """
    log.check()
    size = log.head.size
    for number in range(log.catalog.segment_of(first), len(log.catalog)):
        times = log.catalog.times(number)
        if times is not None and _outside(times, wanted):
            continue
        start = max(first, log.catalog.first_leaf(number))
        for line in log.lines_of(number, start, size):
            yield line if _takes(wanted, line.fields()) else None


def _outside(times: tuple[int, int], wanted: Filter) -> bool:
    earliest, latest = times
    return (wanted.start_ns is not None and latest < wanted.start_ns) or (
        wanted.end_ns is not None and earliest >= wanted.end_ns
    )


def _takes(wanted: Filter, fields: dict[str, Any]) -> bool:
    if fields["scope"] != wanted.tenant or (wanted.kinds and fields["kind"] not in wanted.kinds):
        return False
    if wanted.start_ns is None and wanted.end_ns is None:
        return True
    when_ns = time_ns(fields["time"])
    return (wanted.start_ns is None or when_ns >= wanted.start_ns) and (
        wanted.end_ns is None or when_ns < wanted.end_ns
    )


def of_trace(log: Log, tenant: str, trace_id: str) -> Iterator[EntryLine]:
    """Yields the entries that were sealed under a trace, oldest first."""
    for line in log.posted("trace", tenant, trace_id):
        fields = line.fields()
        if (fields["scope"], fields["trace_id"]) == (tenant, trace_id):
            yield line


def affected(log: Log, tenant: str, span_id: str) -> Iterator[EntryLine]:
    """Yields the entries that leaned on a span, oldest first."""
    for line in log.posted("span", tenant, span_id):
        fields = line.fields()
        if fields["scope"] == tenant and span_id in fields["evidence_ids"]:
            yield line


def supersessions(
    logs: Sequence[Log], tenant: str, span_ids: Sequence[str]
) -> Iterator[Supersession]:
    """Yields what was said against any of these spans, oldest first."""
    for log in logs:
        found = []
        for span_id in span_ids:
            for line in log.posted("superseded", tenant, span_id):
                fields = line.fields()
                facts = fields["facts"]
                if fields["scope"] == tenant and facts.get("superseded_span") == span_id:
                    found.append(
                        Supersession(
                            span_id,
                            facts.get("reason", ""),
                            facts.get("replacement", ""),
                            line.index,
                            fields["time"],
                        )
                    )
        yield from sorted(found, key=lambda said: said.leaf_index)


def supersession_entry(tenant: str, span_id: str, reason: str, replacement_id: str) -> Entry:
    """Returns the entry that says a span is wrong; the same words give the same entry.

    Raises:
        InvalidInputError: A field is not in its range.
    """
    check_span_id("span_id", span_id)
    if not 1 <= len(reason) <= MAX_REASON:
        raise InvalidInputError(
            f"reason must have 1 to {MAX_REASON} characters, got {len(reason)}", field="reason"
        )
    if replacement_id:
        check_span_id("replacement_id", replacement_id)
    facts = {"reason": reason, "replacement": replacement_id, "superseded_span": span_id}
    said = blake3(json.dumps(facts, sort_keys=True).encode()).hexdigest(16)
    return checked_entry(
        tenant=tenant,
        entry_id=f"supersession-{said}",
        kind="curation",
        facts_json=json.dumps(facts),
        content={},
    )
