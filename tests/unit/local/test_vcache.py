import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.local.evaluation import vcache
from arenalab.local.evaluation.vcache import (
    Observations,
    Traffic,
    fit_models,
    replay,
    serving_probability,
)

AT_NINE = np.array([0.9])
FIRST = np.array([0], dtype=np.intp)


def _observed(*pairs: tuple[float, bool]) -> Observations:
    return Observations(
        np.zeros(len(pairs), dtype=np.intp),
        np.array([similarity for similarity, _ in pairs]),
        np.array([float(right) for _, right in pairs]),
    )


@settings(max_examples=40)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.floats(0.005, 0.5))
def test_what_is_served_errs_in_no_more_than_alpha_of_all_requests(
    bounds: list[float], alpha: float
) -> None:
    lower = np.array(bounds)
    serving = serving_probability(lower, alpha)
    assert ((serving >= 0) & (serving <= 1)).all()
    assert (serving * (1 - lower) <= alpha + 1e-9).all()


def test_a_question_nobody_asked_again_is_mostly_passed_on() -> None:
    models = fit_models(1, _observed())
    assert serving_probability(models.lower(FIRST, AT_NINE), 0.02)[0] < 0.2


def test_seeing_it_right_raises_the_lower_bound_and_wrong_lowers_it() -> None:
    def lower(*pairs: tuple[float, bool]) -> float:
        return float(fit_models(1, _observed(*pairs)).lower(FIRST, AT_NINE)[0])

    clear = [(0.85, True), (0.8, True), (0.4, False), (0.3, False)]
    assert lower(*clear * 5) > lower(*clear) > lower()
    assert lower(*[(0.9, False), (0.92, False)] * 3) < lower()


def test_the_estimate_is_near_what_the_observations_came_from() -> None:
    rng = np.random.default_rng(2)
    similarity = rng.random(3_000)
    right = rng.random(3_000) < 1 / (1 + np.exp(-20 * (similarity - 0.6)))
    models = fit_models(1, Observations(np.zeros(3_000, np.intp), similarity, right.astype(float)))
    assert models.t[0] == pytest.approx(0.6, abs=0.03)
    assert models.gamma[0] == pytest.approx(20, rel=0.3)
    assert models.t_upper[0, 0] >= models.t[0]


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(0, 1_000))
def test_the_replay_is_asking_one_after_the_other(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(size, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    right = [frozenset({str(rng.integers(3))} if rng.random() < 0.8 else ()) for _ in range(size)]
    order = rng.permutation(size)
    cached: list[int] = []
    seen = []
    for request in order:
        closeness = [float(vectors[request] @ vectors[one]) for one in cached]
        at = int(np.argmax(closeness)) if cached else -1
        is_right = at >= 0 and bool(right[cached[at]] & right[request])
        if at >= 0:
            seen.append((at, is_right))
        if not is_right:
            cached.append(int(request))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vcache, "_BLOCK", 7)  # so that a small replay has several blocks
        found, observed = replay(Traffic(vectors, right), order)
    assert found.tolist() == cached
    pairs = zip(observed.entry.tolist(), (observed.right > 0).tolist(), strict=True)
    assert list(pairs) == seen
