"""A hundred kills with SIGKILL at random moments lose nothing that was acknowledged."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from arenalab.atomic import Span
from arenalab.search.columns.ids import texts_of
from arenalab.search.store.payloads import Payloads
from tests.mesh import killed_writer
from tests.unit.search.shelf import Shelf, ids

KILLS = 100
ROOT = Path(__file__).parents[2]


@dataclass
class Truth:
    """What the library must hold after the acknowledged changes."""

    spans: dict[str, Span]
    weights: dict[str, float] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)

    def after(self, number: int) -> "Truth":
        """Returns the truth after one change more."""
        spans, weights, hidden = dict(self.spans), dict(self.weights), set(self.hidden)
        touched = killed_writer.spans_of(number)
        match number % 6:
            case 0 | 1:
                spans |= {span.id: span for span in killed_writer.added(number)}
            case 2:
                spans |= {span.id: span for span in touched}
            case 3:
                weights |= {span.id: float(number % 11) for span in touched}
            case 4 if number % 12 == 4:
                hidden |= {span.id for span in touched}
            case 4:
                hidden -= {span.id for span in touched}
            case 5:
                spans.pop(killed_writer.added(number - 5)[0].id, None)
        return replace(self, spans=spans, weights=weights, hidden=hidden)

    @property
    def state(self) -> dict[str, tuple[str, float, bool]]:
        return {
            span_id: (span.this, self.weights.get(span_id, 1.0), span_id in self.hidden)
            for span_id, span in self.spans.items()
        }


class Writer:
    """The process that forks writers."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.mesh.killed_writer"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.read() == "ready"

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def killed(self, root: Path, first: int, *, begun: int, after_s: float) -> list[str]:
        """Runs a writer, kills it a moment after it began so many changes, returns what it said.

        Before the first change it opens what the writer before it left behind.
        """
        assert self.process.stdin is not None
        self.process.stdin.write(f"{root} {first}\n")
        self.process.stdin.flush()
        said: list[str] = []
        while not (line := self.read()).startswith("pid"):
            said.append(line)
        pid = int(line.split()[1])
        while sum(one.startswith("begin") for one in said) < begun:
            said.append(self.read())
        # The kill must come at a random moment of real work: nothing else waits here.
        time.sleep(after_s)
        os.kill(pid, signal.SIGKILL)
        while (line := self.read()) != "gone":
            said.append(line)
        return said


@pytest.fixture
def writer() -> Iterator[Writer]:
    made = Writer()
    yield made
    made.process.kill()
    made.process.communicate()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_hundred_kills_lose_nothing_acknowledged(writer: Writer, tmp_path: Path) -> None:
    rng = random.Random(23)
    first = [killed_writer.version_span(key) for key in range(killed_writer.KEYS)]
    shelf = Shelf(tmp_path, exact_limit=killed_writer.EXACT_LIMIT)
    shelf.publish(first)
    shelf.close()
    truth, number, unfinished = Truth({span.id: span for span in first}), 0, 0
    for kill in range(KILLS):
        said = writer.killed(
            tmp_path,
            number,
            begun=rng.randint(1, 5) if kill % 5 else 0,
            after_s=rng.uniform(0.0, 0.05),
        )
        done = [int(line.split()[1]) for line in said if line.startswith("done")]
        begun = [int(line.split()[1]) for line in said if line.startswith("begin")]
        for one in done:
            truth = truth.after(one)
        number += len(done)
        state = _state(tmp_path)
        if len(begun) > len(done) and state != truth.state:
            # The change in progress may be there, whole, or not at all.
            truth = truth.after(number)
            number += 1
            unfinished += 1
        assert state == truth.state
    assert number > KILLS  # the writers did get to write
    assert len(truth.spans) > killed_writer.KEYS


def _state(root: Path) -> dict[str, tuple[str, float, bool]]:
    """Returns what a library reads from the files: text, weight and quarantine of each span."""
    shelf = Shelf(root, exact_limit=killed_writer.EXACT_LIMIT)
    try:
        shelf.upkeep.wait()
        now = shelf.now
        kept = [
            span_id
            for segment in now.segments
            for row, span_id in enumerate(texts_of(segment.columns.ids))
            if row not in segment.removed
        ]
        places = [place for place in now.places(kept) if place is not None]
        rowids = [now.rowid(place) for place in places]
        spans = Payloads(shelf.store).read(rowids)
        found = shelf.nearest("question 1", limit=10_000)
        visible = {
            span_id for span_id, place in zip(kept, places, strict=True) if not now.is_hidden(place)
        }
        assert set(ids(found)) == visible
        return {
            span_id: (spans[rowid].this, now.weight(place), now.is_hidden(place))
            for span_id, rowid, place in zip(kept, rowids, places, strict=True)
        }
    finally:
        shelf.close()
