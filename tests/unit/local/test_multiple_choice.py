import numpy as np
import pytest

from arenalab.local.evaluation.multiple_choice import measure
from arenalab.local.evaluation.suites.choices import (
    ChoiceQuestion,
    ChoiceRound,
    ChoiceTask,
    Published,
    Variant,
)
from arenalab.local.evaluation.task import Known
from tests.unit.local.word_embedder import WordEmbedder

KNOWN = [Known("what do seeds do", "nothing happens"), Known("who rules the sea", "king neptune")]
QUESTIONS = [
    ChoiceQuestion(
        "what do melon seeds do",
        "food",
        ("you grow melons", "nothing really happens"),
        1,
        ("nothing happens", "nothing at all happens", "you grow melons"),
        (True, True, False),
    ),
    ChoiceQuestion(
        "who rules the deep sea",
        "myths",
        ("king neptune", "a fish", "a whale"),
        0,
        ("king neptune", "a fish"),
        (True, False),
    ),
]


def _task(*variants: Variant) -> ChoiceTask:
    tiers = (("gold", 90.0), ("bronze", 65.0))
    published = (Published("someone", "mc1", 21.0, "somewhere"),)
    return ChoiceTask("c", "Choices", variants, (), "60 % or so", (60.0, 70.0), tiers, published)


LEAD = Variant("own", [ChoiceRound(KNOWN, QUESTIONS)])


def test_memory_picks_what_past_outcomes_speak_for() -> None:
    results, own, bare = measure(_task(LEAD), WordEmbedder().embed_many, lambda _: None, 0)
    [one] = results.variants
    assert one.mc1 is not None
    assert one.mc1.value == 1.0
    assert one.mc1.chance == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert one.mc2 is not None
    assert one.mc2.chance == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert one.mc2.value > 0.8
    assert [(row.name, row.questions) for row in one.categories] == [("food", 1), ("myths", 1)]
    assert own.correct.all()
    assert ((own.confidence > 1 / 3) & (own.confidence <= 1)).all()
    assert not np.array_equal(own.confidence, bare.confidence)


def test_the_claim_the_tier_and_the_measurement_stand_side_by_side() -> None:
    results, _, _ = measure(_task(LEAD), WordEmbedder().embed_many, lambda _: None, 0)
    assert results.tier == "gold"
    assert results.verdict == "claimed: 60 % or so; measured (MC1): 100.0% own; reached"
    wrong = [ChoiceQuestion("who rules the deep sea", "", ("king neptune", "a fish"), 1)]
    poor = Variant("own", [ChoiceRound(KNOWN, wrong)])
    results, _, _ = measure(_task(poor), WordEmbedder().embed_many, lambda _: None, 0)
    assert results.tier == "training"
    assert results.verdict.endswith("measured (MC1): 0.0% own; NOT reached")
    assert results.variants[0].mc2 is None


def test_a_memory_that_is_not_there_has_no_figures() -> None:
    missing = Variant("other", [], "NQ-open is not here")
    results, _, _ = measure(_task(LEAD, missing), WordEmbedder().embed_many, lambda _: None, 0)
    other = results.variants[1]
    assert (other.mc1, other.mc2, other.why_not) == (None, None, "NQ-open is not here")
