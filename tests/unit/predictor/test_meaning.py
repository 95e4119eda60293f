import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.predictor.meaning import MAX_TEXTS, Cluster, cluster, competing
from arenalab.predictor.neighbourhood import Memory, Vectors
from arenalab.predictor.outcomes import Group

from .made_up import groups_by_vote

POST = "You can send the form by post to our office."
MAIL = "Send the form to our office by post."
ONLINE = "Upload it on the website instead."


def _groups(*outcomes: tuple[str, float]) -> list[Group]:
    memories = [Memory(str(n), f"q{n}", text) for n, (text, _) in enumerate(outcomes)]
    return groups_by_vote(memories, np.array([weight for _, weight in outcomes]))


def _vectors(*cosines_with_first: float) -> Vectors:
    """Returns unit vectors in a plane, by their cosine with the first."""
    angles = np.arccos(np.array([1.0, *cosines_with_first]))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def _clusters(groups: list[Group], vectors: Vectors | None) -> list[Cluster]:
    return cluster(groups, competing(groups), vectors)


def test_two_wordings_of_one_outcome_share_one_vote() -> None:
    groups = _groups((ONLINE, 0.45), (POST, 0.4), (MAIL, 0.38))
    assert competing(groups) == [ONLINE, POST, MAIL]
    post, online = _clusters(groups, _vectors(0.2, 0.3))
    assert post.groups == (1, 2)
    assert post.members == (1, 2)
    assert post.score == pytest.approx(0.78)
    assert post.share == pytest.approx(0.78**2 / (0.78**2 + 0.45**2))
    assert online.groups == (0,)


def test_texts_that_contradict_each_other_are_never_one_however_near() -> None:
    yes, no = "You can pay this fee by card.", "You cannot pay this fee by card."
    groups = _groups((yes, 0.5), (no, 0.45))
    assert len(_clusters(groups, _vectors(0.99))) == 2
    between = "Pay this fee by card."
    groups = _groups((between, 0.5), (no, 0.45), (yes, 0.4))
    clusters = _clusters(groups, _vectors(0.99, 0.99))
    assert not any({1, 2} <= set(one.groups) for one in clusters)


def test_without_vectors_only_nearly_the_same_words_are_one() -> None:
    assert len(_clusters(_groups((POST, 0.5), (POST.upper()[:-1], 0.4)), None)) == 1
    same = "Send the form by post, to our office."
    assert len(_clusters(_groups((MAIL, 0.5), (same, 0.4)), None)) == 1
    assert len(_clusters(_groups((POST, 0.5), (ONLINE, 0.4)), None)) == 2


def test_labels_are_compared_by_nobody() -> None:
    groups = _groups(("freeze_account", 0.5), ("freeze_card", 0.45), ("lost card", 0.4))
    assert competing(groups) == []
    assert [one.groups for one in _clusters(groups, None)] == [(0,), (1,), (2,)]


def test_a_majority_leaves_nothing_to_compare() -> None:
    assert competing(_groups((POST, 0.9), (MAIL, 0.2))) == []
    assert competing([]) == []


def test_the_outcomes_compared_are_few() -> None:
    groups = _groups(*((f"This is the answer number {n}.", 0.5) for n in range(40)))
    assert len(competing(groups)) == MAX_TEXTS
    assert len(_clusters(groups, np.eye(MAX_TEXTS, dtype=np.float32))) == 40


@given(
    st.lists(st.tuples(st.sampled_from([POST, MAIL, ONLINE, "a", "b c"]), st.floats(-1, 1))),
    st.sampled_from([None, 1.0]),
)
def test_clusters_hold_every_span_once_and_share_one_vote(
    votes: list[tuple[str, float]], cosine: float | None
) -> None:
    groups = _groups(*votes)
    texts = competing(groups)
    vectors = None if cosine is None else np.full((len(texts), 1), cosine, np.float32)
    clusters = cluster(groups, texts, vectors)
    assert sorted(at for one in clusters for at in one.members) == list(range(len(votes)))
    assert sorted(at for one in clusters for at in one.groups) == list(range(len(groups)))
    shares = [one.share for one in clusters]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1.0) or not any(shares)
    # Joining never takes spans from the best wording to a worse one.
    assert all(list(one.groups) == sorted(one.groups) for one in clusters)


def test_probabilities_of_views_add_up_where_votes_are_squared() -> None:
    groups = [
        Group(ONLINE, (0,), 0.9, 0.45),
        Group(POST, (1,), 0.1, 0.3),
        Group(MAIL, (2,), -0.1, 0.25),
    ]
    clusters = cluster(groups, competing(groups), _vectors(0.2, 0.3), is_mixed=True)
    assert [one.groups for one in clusters] == [(1, 2), (0,)]
    assert [one.share for one in clusters] == pytest.approx([0.55, 0.45])
    assert clusters[0].score == pytest.approx(0.0)


def test_outcomes_that_hardly_share_in_the_vote_are_not_compared() -> None:
    groups = [Group(POST, (0,), 0.5, 0.65), Group(MAIL, (1,), 0.4, 0.345)]
    faint = Group(ONLINE, (2,), 0.0, 0.005)
    assert competing([*groups, faint]) == [POST, MAIL]
    assert competing([groups[0], faint]) == []
