"""A process that changes a library until it is killed, and says which changes were acknowledged.

Run as a script: imports everything once, then forks a writer for each line of its input,
`ROOT FIRST`, so that a hundred kills do not cost a hundred starts of the interpreter.
A writer prints `begin N` before change N and `done N` after it.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

from arenalab.atomic import Span
from arenalab.testing.spans import make_span
from tests.unit.search.shelf import Shelf

KEYS = 60
EXACT_LIMIT = 40  # so that indexes and their files are made and replaced all the time


def change(shelf: Shelf, number: int) -> None:
    """Does change `number`; the same one for the same number."""
    spans = spans_of(number)
    ids = [span.id for span in spans]
    match number % 6:
        case 0 | 1:
            shelf.add(added(number))
        case 2:
            shelf.library.update("default", "faq", spans, shelf.embed([s.this for s in spans]))
        case 3:
            shelf.library.reweight("default", "faq", dict.fromkeys(ids, float(number % 11)))
        case 4:
            shelf.library.quarantine("default", "faq", ids, hidden=number % 12 == 4)
        case 5:
            shelf.library.delete("default", "faq", [added(number - 5)[0].id])


def added(number: int) -> list[Span]:
    """Returns the spans that change `number` adds, if it is one that adds."""
    return [make_span(f"added {number} {n}", "answer") for n in range(3)]


def spans_of(number: int) -> list[Span]:
    """Returns spans of the version, as change `number` writes them when it updates."""
    keys = [(number * 7 + step) % KEYS for step in (0, 11, 23)]
    return [version_span(key, f"edition {number}" if number % 6 == 2 else "") for key in keys]


def version_span(key: int, edition: str = "") -> Span:
    """Returns a span of the version; every edition has the same id."""
    first = make_span(f"question {key}", "answer")
    if not edition:
        return first
    return replace(make_span(f"question {key} {edition}", "answer"), id=first.id)


def write(root: Path, first: int) -> None:
    shelf = Shelf(root, exact_limit=EXACT_LIMIT)
    number = first
    while True:
        os.write(1, b"begin %d\n" % number)
        change(shelf, number)
        os.write(1, b"done %d\n" % number)
        number += 1


def main() -> None:
    os.write(1, b"ready\n")
    for line in sys.stdin:
        root, first = line.split()
        child = os.fork()
        if not child:
            write(Path(root), int(first))
        os.write(1, b"pid %d\n" % child)
        os.waitpid(child, 0)
        os.write(1, b"gone\n")


if __name__ == "__main__":
    main()
