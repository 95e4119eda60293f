"""Any sequence of changes, merges and restarts serves what a dictionary would."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from arenalab.atomic import Span
from arenalab.mesh import InvalidInputError, NotFoundError
from arenalab.search.condition import ONLINE, Filter
from arenalab.search.store.payloads import Payloads
from arenalab.testing.spans import make_span
from tests.unit.search.shelf import Shelf, ids, vectors_of

pytestmark = pytest.mark.slow
KEYS = st.integers(0, 39)
SOME_KEYS = st.lists(KEYS, min_size=1, max_size=12, unique=True)


@dataclass(frozen=True)
class Kept:
    """What a span should be."""

    span: Span
    weight: float = 1.0
    is_hidden: bool = False
    is_online: bool = False


def span_of(key: int, edition: int = 0) -> Span:
    """Returns a span; all editions of a key have the same id."""
    first = make_span(f"question {key}", "answer", domain=f"d{key % 3}")
    other = make_span(
        f"question {key} in edition {edition}",
        f"answer {edition}",
        domain=f"d{(key + edition) % 3}",
    )
    return replace(other, id=first.id) if edition else first


class LibraryMachine(RuleBasedStateMachine):
    """A shelf beside a dictionary of what should be on it."""

    @initialize(keys=SOME_KEYS)
    def publish_first(self, keys: list[int]) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="arenalab-test-")
        self.kept: dict[str, Kept] = {}
        self.version = 0
        self.shelf = self._opened()
        self.publish(keys)

    def teardown(self) -> None:
        self.shelf.close()
        self.folder.cleanup()

    def _opened(self) -> Shelf:
        return Shelf(Path(self.folder.name), exact_limit=15)

    @rule(keys=SOME_KEYS)
    def publish(self, keys: list[int]) -> None:
        self.version += 1
        made = [span_of(key) for key in keys]
        # An edition of its own, so that each version differs from all before it.
        made.append(make_span(f"version {self.version}", "answer"))
        self.shelf.publish(made)
        marks = self.kept
        online = {key: one for key, one in marks.items() if one.is_online}
        new = {
            span.id: Kept(
                span,
                marks[span.id].weight if span.id in marks else 1.0,
                marks[span.id].is_hidden if span.id in marks else False,
            )
            for span in made
        }
        self.kept = {**online, **new}

    @rule(keys=SOME_KEYS)
    def add(self, keys: list[int]) -> None:
        new = [span_of(key) for key in keys]
        clash = [span for span in new if span.id in self.kept and self.kept[span.id].span != span]
        if clash:
            with pytest.raises(InvalidInputError):
                self.shelf.add(new)
            return
        self.shelf.add(new)
        for span in new:
            self.kept.setdefault(span.id, Kept(span, is_online=True))

    @rule(keys=SOME_KEYS, edition=st.integers(0, 3))
    def update(self, keys: list[int], edition: int) -> None:
        new = [span_of(key, edition) for key in keys]
        vectors = self.shelf.embed([span.this for span in new])
        if any(span.id not in self.kept for span in new):
            with pytest.raises(NotFoundError):
                self.shelf.library.update("default", "faq", new, vectors)
            return
        self.shelf.library.update("default", "faq", new, vectors)
        for span in new:
            old = self.kept[span.id]
            if old.span != span:
                self.kept[span.id] = replace(old, span=span, is_online=True)

    @rule(keys=SOME_KEYS)
    def delete(self, keys: list[int]) -> None:
        gone = [span_of(key).id for key in keys]
        done = self.shelf.library.delete("default", "faq", gone)
        assert done.changed == sum(span_id in self.kept for span_id in gone)
        for span_id in gone:
            self.kept.pop(span_id, None)

    @rule(keys=SOME_KEYS, weight=st.sampled_from([0.0, 0.5, 1.0, 10.0]))
    def reweight(self, keys: list[int], weight: float) -> None:
        wanted = {span_of(key).id: weight for key in keys if span_of(key).id in self.kept}
        self.shelf.library.reweight("default", "faq", wanted)
        for span_id in wanted:
            self.kept[span_id] = replace(self.kept[span_id], weight=weight)

    @rule(keys=SOME_KEYS, hidden=st.booleans())
    def quarantine(self, keys: list[int], hidden: bool) -> None:  # noqa: FBT001 - by hypothesis
        wanted = [span_of(key).id for key in keys if span_of(key).id in self.kept]
        self.shelf.library.quarantine("default", "faq", wanted, hidden=hidden)
        for span_id in wanted:
            self.kept[span_id] = replace(self.kept[span_id], is_hidden=hidden)

    @rule()
    def settle(self) -> None:
        self.shelf.upkeep.wait()

    @rule()
    def write(self) -> None:
        self.shelf.upkeep.snapshot(self.shelf.now).result(timeout=30)
        assert len(self.shelf.now.segments) == 1

    @rule()
    def restart(self) -> None:
        self.shelf.close()
        self.shelf = self._opened()

    @precondition(lambda self: hasattr(self, "shelf"))
    @invariant()
    def serves_what_is_kept(self) -> None:
        now = self.shelf.now
        visible = {span_id: one for span_id, one in self.kept.items() if not one.is_hidden}
        assert len(now) == len(visible)
        assert now.hidden == len(self.kept) - len(visible)
        assert now.added == sum(one.is_online for one in visible.values())
        found = self.shelf.nearest("question 7", limit=100)
        assert dict(zip(ids(found), found.weights, strict=True)) == {
            span_id: one.weight for span_id, one in visible.items()
        }
        texts = [one.span.this for one in visible.values()]
        truth = np.sort(vectors_of(texts) @ vectors_of(["question 7"])[0])[::-1]
        np.testing.assert_allclose(found.similarities, truth, atol=1e-6)
        kept_ids = list(self.kept)
        rowids = [rowid for rowid in now.rowids(kept_ids) if rowid is not None]
        payloads = Payloads(self.shelf.store).read(rowids)
        assert [payloads[rowid].this for rowid in rowids] == [
            self.kept[span_id].span.this for span_id in kept_ids
        ]

    @precondition(lambda self: hasattr(self, "shelf"))
    @invariant()
    def counts_what_is_kept(self) -> None:
        visible = [one for one in self.kept.values() if not one.is_hidden]
        domain = sum(one.span.context.environment == "d1" for one in visible)
        online = sum(one.is_online for one in visible)
        wanted = Filter(domains=("d1",), origins=(ONLINE,))
        both = sum(one.is_online and one.span.context.environment == "d1" for one in visible)
        matches, conditions = self.shelf.now.counts(wanted)
        assert matches == both
        assert dict(conditions) == {"domains": domain, "origins": online}


TestLibraryMachine = LibraryMachine.TestCase
TestLibraryMachine.settings = settings(
    max_examples=30,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
