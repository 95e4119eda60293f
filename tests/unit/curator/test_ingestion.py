"""A file is in the working set whole, or not at all; no row is dropped silently."""

import errno
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from arenalab.atomic import Span, dump_line
from arenalab.curator.formats import Format, Origin, open_reader
from arenalab.curator.ingestion import Ingestion
from arenalab.curator.jobs import Jobs
from arenalab.curator.rejects import MAX_RAW_BYTES, RejectFile
from arenalab.curator.working_set import WorkingSet
from arenalab.dataset import DatasetStore
from arenalab.mesh import BusyError, DataLossError, InvalidInputError, Reason
from arenalab.testing.spans import make_span

SPANS = [make_span(f"question {n}", f"outcome {n}") for n in range(5)]
Open = Callable[..., Ingestion]


def lines(spans: list[Span]) -> bytes:
    return b"".join(map(dump_line, spans))


@pytest.fixture
def open_ingestion(tmp_path: Path) -> Iterator[Open]:
    opened: list[Ingestion] = []

    def opening(*, replace: bool = False) -> Ingestion:
        working_set = WorkingSet(tmp_path / "faq.sqlite")
        rejects = RejectFile(tmp_path / f"rejects/{len(opened)}.ndjson")
        reader = open_reader(Format.SPANS, Origin("f", "2026-01-01T00:00:00Z"))
        opened.append(Ingestion(working_set, rejects, Format.SPANS, reader, replace=replace))
        return opened[-1]

    yield opening
    for one in opened:
        one.close()


def ingest(job: Ingestion, data: bytes) -> Ingestion:
    try:
        job.feed(data)
        job.finish()
    finally:
        job.close()
    return job


def kept(tmp_path: Path) -> list[Span]:
    working_set = WorkingSet(tmp_path / "faq.sqlite")
    try:
        return list(working_set.spans())
    finally:
        working_set.close()


def test_spans_are_kept_in_order_of_arrival(open_ingestion: Open, tmp_path: Path) -> None:
    job = ingest(open_ingestion(), lines(SPANS[3:]))
    assert (job.counts.rows, job.counts.accepted, job.total_spans) == (2, 2, 2)
    job = ingest(open_ingestion(), lines(SPANS[:3]))
    assert job.total_spans == 5
    assert kept(tmp_path) == SPANS[3:] + SPANS[:3]
    assert not list((tmp_path / "rejects").iterdir())


def test_the_same_file_twice_adds_nothing(open_ingestion: Open, tmp_path: Path) -> None:
    ingest(open_ingestion(), lines(SPANS))
    job = ingest(open_ingestion(), lines(SPANS))
    assert (job.counts.accepted, job.counts.duplicates, job.total_spans) == (5, 5, 5)
    assert kept(tmp_path) == SPANS


def test_replace_drops_what_was_there(open_ingestion: Open, tmp_path: Path) -> None:
    ingest(open_ingestion(), lines(SPANS[:3]))
    assert ingest(open_ingestion(replace=True), lines(SPANS[3:])).total_spans == 2
    assert kept(tmp_path) == SPANS[3:]


def test_a_rejected_row_is_kept_as_it_was(open_ingestion: Open, tmp_path: Path) -> None:
    job = ingest(open_ingestion(), lines(SPANS[:1]) + b"\xff{oops\n" + lines(SPANS[1:]))
    assert (job.counts.rows, job.counts.accepted, job.counts.rejected) == (6, 5, 1)
    assert job.reject_path == tmp_path / "rejects/0.ndjson"
    (form,) = map(json.loads, job.reject_path.read_text().splitlines())
    assert (form["line"], form["raw"]) == (2, "\\xff{oops\n")
    assert "UTF-8" in form["reason"]


def test_of_a_huge_rejected_row_the_beginning_is_kept(open_ingestion: Open) -> None:
    data = lines(SPANS) + b"x" * (MAX_RAW_BYTES + 1)
    path = ingest(open_ingestion(), data).reject_path
    assert path is not None
    form = json.loads(path.read_text())
    assert (len(form["raw"]), form["cut"]) == (MAX_RAW_BYTES, True)


def test_another_span_with_a_known_id_is_rejected(open_ingestion: Open, tmp_path: Path) -> None:
    ingest(open_ingestion(), lines(SPANS))
    other = dump_line(SPANS[0]).replace(b"outcome 0", b"outcome 9")
    job = ingest(open_ingestion(), other + lines(SPANS[1:2]))
    assert (job.counts.rejected, job.counts.duplicates) == (1, 1)
    assert "is taken by a span with other content" in (tmp_path / "rejects/1.ndjson").read_text()
    assert kept(tmp_path) == SPANS


@pytest.mark.parametrize("data", [b"", b"\n\n", b"a,b\nc,d\n", b"\x00\x01\x02" * 50])
def test_a_file_without_a_row_of_the_format_changes_nothing(
    open_ingestion: Open, tmp_path: Path, data: bytes
) -> None:
    ingest(open_ingestion(), lines(SPANS[:2]))
    with pytest.raises(InvalidInputError) as caught:
        ingest(open_ingestion(replace=True), data)
    assert caught.value.reason is Reason.INVALID_FORMAT
    assert caught.value.metadata == {"format": "spans", "line": "1"}
    assert kept(tmp_path) == SPANS[:2]
    assert not list((tmp_path / "rejects").iterdir())


def test_a_file_that_is_not_finished_leaves_no_trace(open_ingestion: Open, tmp_path: Path) -> None:
    ingest(open_ingestion(), lines(SPANS[:2]))
    job = open_ingestion(replace=True)
    job.feed(lines(SPANS) * 100 + b"bad\n")
    job.close()
    assert kept(tmp_path) == SPANS[:2]
    assert not list((tmp_path / "rejects").iterdir())


def test_a_full_disk_is_told_and_keeps_what_was_there(open_ingestion: Open, tmp_path: Path) -> None:
    ingest(open_ingestion(), lines(SPANS[:2]))
    job = open_ingestion()
    pages = job._working_set._db.execute("PRAGMA page_count").fetchone()[0]
    job._working_set._db.execute(f"PRAGMA max_page_count = {pages + 1}")
    many = [make_span(f"many {n}", "x" * 500) for n in range(100)]
    with pytest.raises(OSError, match="space") as caught:
        ingest(job, lines(many))
    assert caught.value.errno == errno.ENOSPC
    assert kept(tmp_path) == SPANS[:2]


_KILLED = """
import sys
from pathlib import Path
import numpy as np
from arenalab.curator.formats import Format, Origin, open_reader
from arenalab.curator.ingestion import Ingestion
from arenalab.curator.jobs import Jobs
from arenalab.curator.jobs import Jobs
from arenalab.curator.rejects import RejectFile
from arenalab.curator.working_set import WorkingSet
from arenalab.dataset import DatasetStore
from arenalab.testing.spans import make_span

home = Path(sys.argv[1])
with Jobs(home).exclusive("ingest", "t", "faq"), DatasetStore(home).staging("t", "faq") as staging:
    job = Ingestion(
        WorkingSet(home / "faq.sqlite"),
        RejectFile(home / "rejects" / "killed.ndjson"),
        Format.SPANS,
        open_reader(Format.SPANS, Origin("f", "2026-01-01T00:00:00Z")),
        replace=True,
    )
    job.feed(b"no span\\n" * 20_000)
    staging.write_spans([make_span("a", "b")])
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_a_curator_that_is_killed_leaves_the_dataset_as_it_was_and_free(
    open_ingestion: Open, tmp_path: Path
) -> None:
    ingest(open_ingestion(), lines(SPANS))
    with subprocess.Popen(  # noqa: S603 - this interpreter, our own text
        [sys.executable, "-c", _KILLED, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(BusyError), Jobs(tmp_path).exclusive("publish", "t", "faq"):
            pass
        process.send_signal(signal.SIGKILL)
    assert kept(tmp_path) == SPANS
    assert DatasetStore(tmp_path).names("t") == []
    with Jobs(tmp_path).exclusive("publish", "t", "faq"):
        assert ingest(open_ingestion(), lines(SPANS)).counts.duplicates == 5
    with DatasetStore(tmp_path).staging("t", "faq") as staging:
        assert [path.name for path in staging.path.parent.iterdir()] == [staging.name]


def test_a_damaged_working_set_is_named(tmp_path: Path) -> None:
    (tmp_path / "faq.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(DataLossError) as caught:
        WorkingSet(tmp_path / "faq.sqlite")
    assert caught.value.metadata == {"file": "faq.sqlite"}


def test_a_damaged_span_is_not_passed_on(open_ingestion: Open, tmp_path: Path) -> None:
    ingest(open_ingestion(), lines(SPANS))
    db = sqlite3.connect(tmp_path / "faq.sqlite")
    with db:
        db.execute("UPDATE spans SET line = X'7B7D' WHERE place = 2")
    db.close()
    with pytest.raises(DataLossError, match="a span is damaged"):
        kept(tmp_path)


def test_vectors_are_kept_by_embedder_and_text(tmp_path: Path) -> None:
    working_set = WorkingSet(tmp_path / "faq.sqlite")
    vectors = {text: np.full(3, n, np.float32) for n, text in enumerate("abc")}
    working_set.keep_vectors("one", vectors.items())
    found = working_set.vectors("one", ["a", "c", "unknown", "c"])
    assert {text: vector.tolist() for text, vector in found.items()} == {
        "a": [0.0] * 3,
        "c": [2.0] * 3,
    }
    assert working_set.vectors("two", ["a"]) == {}
    # Those of an embedder that is gone would never be asked for again.
    working_set.keep_vectors("two", [("d", vectors["a"])])
    assert working_set.vectors("one", ["a"]) == {}
    working_set.close()
