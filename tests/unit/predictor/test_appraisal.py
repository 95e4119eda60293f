import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from arenalab.predictor.appraisal import appraise
from arenalab.predictor.contrast import Contrast
from arenalab.predictor.features import NAMES, features_of
from arenalab.predictor.neighbourhood import Memory, Neighbourhood, Query, Situation
from arenalab.predictor.outcomes import Method

from .clusters import corpus_of, hood_of

CORPUS = corpus_of(6, 12)


def _hood(*spans: tuple[str, str, float]) -> Neighbourhood:
    """Spans (question, outcome, similarity), at right angles to each other."""
    memories = [Memory(str(n), q, o) for n, (q, o, _) in enumerate(spans)]
    similarities = np.array([s for _, _, s in spans])
    vectors = np.eye(len(spans), 16, dtype=np.float32)
    return Neighbourhood(memories, similarities, similarities, vectors)


def test_the_cluster_of_the_question_wins() -> None:
    at = 30
    hood = hood_of(CORPUS, CORPUS.vectors[at])
    appraisal = appraise(Query(CORPUS.memories[at].question), hood)
    assert appraisal.groups[0].outcome == CORPUS.memories[at].outcome
    assert appraisal.method is Method.MAJORITY
    assert appraisal.is_admissible
    assert appraisal.situation.domain == CORPUS.memories[at].situation.domain


def test_a_span_that_says_the_opposite_has_little_say() -> None:
    hood = _hood(
        ("how do I disable tracing", "Unset it.", 0.95),
        ("switching on tracing", "Set it.", 0.80),
    )
    appraisal = appraise(Query("how do I enable tracing"), hood)
    assert appraisal.clashes == (Contrast.OPPOSITE, Contrast.NONE)
    assert appraisal.groups[0].outcome == "Set it."
    assert not appraisal.is_clash


def test_support_that_only_clashes_is_never_served() -> None:
    hood = _hood(("how do I disable tracing", "Unset it.", 0.95), ("bake bread", "Flour.", 0.02))
    appraisal = appraise(Query("how do I enable tracing"), hood)
    assert appraisal.groups[0].outcome == "Unset it."
    assert appraisal.clash_share == 1.0
    assert appraisal.is_clash
    assert not appraisal.is_admissible


def test_a_number_that_the_outcome_does_not_depend_on_is_no_clash() -> None:
    hood = _hood(
        ("set a timer for 5 minutes", "Timer.", 0.9), ("set a timer for 10 minutes", "Timer.", 0.9)
    )
    assert not any(appraise(Query("set a timer for 7 minutes"), hood).clashes)


def test_an_uncertain_output_is_never_served() -> None:
    hood = _hood(*((f"q{n}", f"o{n}", 0.5) for n in range(5)))
    appraisal = appraise(Query("something"), hood)
    assert appraisal.method is Method.UNCERTAIN
    assert not appraisal.is_admissible


def test_only_spans_with_an_action_like_the_expected_one_vote() -> None:
    done = Memory("1", "q", "o", Situation(actions=("look", "pay_bill")))
    other = Memory("2", "q", "p", Situation(actions=("ask",)))
    ones = np.array([0.9, 0.8])
    hood = Neighbourhood([other, done], ones, ones, np.eye(2, 4, dtype=np.float32))
    appraisal = appraise(Query("q", action="pay_bills"), hood)
    assert [m.span_id for m in appraisal.neighbourhood.memories] == ["1"]
    assert appraise(Query("q", action="fly"), hood).groups == ()


def test_no_neighbours_leave_nothing_to_say() -> None:
    appraisal = appraise(Query("q"), _hood())
    assert appraisal.method is Method.NONE
    assert not appraisal.is_admissible


@given(st.integers(0, 10_000), st.integers(1, 50))
def test_features_are_finite_and_the_same_each_time(seed: int, k: int) -> None:
    vector = np.random.default_rng(seed).normal(size=CORPUS.vectors.shape[1])
    unit = np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)
    hood = hood_of(CORPUS, unit, k)
    query = Query(f"matter{seed % 6} and something")
    features = features_of(appraise(query, hood))
    assert features.shape == (len(NAMES),)
    assert np.isfinite(features).all()
    assert features.tobytes() == features_of(appraise(query, hood)).tobytes()


def test_a_question_off_every_cluster_looks_novel() -> None:
    at = NAMES.index("novelty")
    inside = features_of(appraise(Query("q"), hood_of(CORPUS, CORPUS.vectors[0])))
    outside = np.zeros(CORPUS.vectors.shape[1], np.float32)
    outside[0] = 1.0
    off = features_of(appraise(Query("q"), hood_of(CORPUS, outside)))
    assert off[at] > inside[at]


def _told(*memories: Memory, query: str = "who repairs the lift") -> dict[str, float]:
    """Features by name where the first memories are nearer."""
    similarities = np.linspace(0.9, 0.1, len(memories))
    vectors = np.eye(len(memories), 16, dtype=np.float32)
    hood = Neighbourhood(list(memories), similarities, similarities, vectors)
    return dict(zip(NAMES, features_of(appraise(Query(query), hood)).tolist(), strict=True))


def test_a_word_is_known_where_any_span_says_it() -> None:
    spans = [Memory("1", "who mends the lift", "Ann."), Memory("2", "the repair shop", "Left.")]
    assert _told(*spans, query="who repairs the lift")["word_known"] == 1.0
    assert _told(*spans, query="who repairs the zebra lift")["word_known"] == 2 / 3
    assert _told(*spans, query="quagga")["word_known"] == 0.0


def test_evidence_is_as_good_and_as_old_as_its_spans() -> None:
    day_s = 86_400.0
    other = Memory("2", "where is the garden", "Behind.", when_s=31 * day_s, quality=0.9)
    good = Memory("1", "who mends the lift", "Ann.", when_s=day_s, quality=0.8)
    told = _told(good, other)
    assert told["quality"] == 0.8
    assert told["staleness"] == np.log1p(30.0)
    unknown = _told(Memory("1", "who mends the lift", "Ann.", when_s=99 * day_s), other)
    assert unknown["quality"] == 0.5
    assert unknown["staleness"] == 0.0


def test_another_name_in_the_evidence_is_seen() -> None:
    asked = "is the office in Paris open"
    assert _told(Memory("1", "is the office in Rome open", "Yes."), query=asked)["item"]
    assert not _told(Memory("1", "is the office in Paris open", "Yes."), query=asked)["item"]
