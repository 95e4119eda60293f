"""Choosing by memory: the choice that the outcomes of similar past questions speak for.

A choice's support is the mean cosine between it and the outcomes of the 50 spans nearest to the
question, weighted by their similarity to the question as in the predictor's plain vote. Its
probability is a softmax over the choices. MC1 is the share of questions whose most probable choice
is the right one; MC2 the mean probability of the right choices.

Source: Lin, Hilton and Evans (2022), TruthfulQA, ACL, for MC1 and MC2 (there on likelihoods).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from arenalab.local.evaluation.contender import Scored, nearest
from arenalab.local.evaluation.resampling import Interval, interval_of
from arenalab.local.evaluation.suites.choices import (
    ChoiceQuestion,
    ChoiceRound,
    ChoiceTask,
    Variant,
)
from arenalab.predictor.neighbourhood import FloatArray, K, Vectors
from arenalab.predictor.vote import similarity_weights

# Fixed beforehand, not fitted: cosines differ by hundredths, probabilities should by tenths.
TEMPERATURE: Final = 0.05
_BOOTSTRAPS: Final = 500

Embed = Callable[[Sequence[str]], Vectors]


@dataclass(frozen=True, slots=True)
class Rate:
    """A mean over questions with its 95 % bootstrap interval, and what guessing reaches."""

    value: float
    interval: Interval
    chance: float


@dataclass(frozen=True, slots=True)
class Category:
    """The figures of one category's questions."""

    name: str
    questions: int
    mc1: float
    mc2: float | None


@dataclass(frozen=True)
class VariantResults:
    """One kind of memory; None: not measured, and why."""

    name: str
    spans: int
    mc1: Rate | None
    mc2: Rate | None
    categories: Sequence[Category] = ()
    why_not: str = ""


@dataclass(frozen=True)
class ChoiceResults:
    """All kinds of memory, and what others say."""

    task: ChoiceTask
    variants: Sequence[VariantResults]
    no_memory: VariantResults  # the choice most similar to the question

    @property
    def tier(self) -> str:
        """The founding document's tier at this benchmark's own threshold."""
        lead = self.variants[0].mc1
        reached = [name for name, least in self.task.tiers if lead and 100 * lead.value >= least]
        return reached[0] if reached else "training"

    @property
    def verdict(self) -> str:
        """The claim beside the measurements, in one sentence; the first of them decides."""
        lead = self.variants[0].mc1
        if lead is None:
            return f"claimed: {self.task.claim}; not measured"
        low, _ = self.task.claimed
        held = "reached" if 100 * lead.value >= low else "NOT reached"
        measured = ", ".join(
            f"{one.mc1.value:.1%} {one.name}" for one in self.variants if one.mc1 is not None
        )
        return f"claimed: {self.task.claim}; measured (MC1): {measured}; {held}"

    def as_json(self) -> dict[str, Any]:
        """Returns the figures with tier, claim and published baselines."""
        return {
            "variants": [asdict(one) for one in self.variants],
            "no_memory": asdict(self.no_memory),
            "tier": self.tier,
            "claim": self.task.claim,
            "verdict": self.verdict,
            "published": [asdict(one) for one in self.task.published],
        }


@dataclass(frozen=True)
class _Picked:
    """The chosen answers of one variant, by question."""

    categories: list[str]
    probability: FloatArray  # of the most probable choice
    right: FloatArray  # 1.0 where that choice is right
    mc2: FloatArray  # empty: the benchmark has no such form
    chance: FloatArray
    chance_mc2: FloatArray


def measure(
    task: ChoiceTask, embed: Embed, say: Callable[[str], None], seed: int
) -> tuple[ChoiceResults, Scored, Scored]:
    """Returns the figures of all variants, and two sets of choices as scored questions.

    Those of the first variant's memory, and those of similarity to the question alone.

    Args:
        task: The suite.
        embed: Texts to unit vectors, one row each.
        say: Told what is being done.
        seed: Of the bootstrap.
    """
    picked = {}
    for variant in task.variants:
        if variant.rounds:
            say(f"{task.title}: {variant.name}")
            rounds = [_pick(one, embed, _memory_support(one, embed)) for one in variant.rounds]
            picked[variant.name] = _joined(rounds)
    lead = task.variants[0]
    say(f"{task.title}: without memory")
    bare = _joined([_pick(one, embed, _question_support(one, embed)) for one in lead.rounds])
    variants = [_results(one, picked.get(one.name), seed) for one in task.variants]
    no_memory = _results(Variant("no_memory", lead.rounds), bare, seed)
    results = ChoiceResults(task, variants, no_memory)
    return results, _scored("arenalab", picked[lead.name]), _scored("choice_similarity", bare)


_Support = Callable[[int, Vectors], FloatArray]  # question, vectors of choices -> support of each


def _memory_support(one: ChoiceRound, embed: Embed) -> _Support:
    memory = embed([known.text for known in one.known])
    outcomes = embed([known.outcome for known in one.known])
    asked = embed([question.text for question in one.questions])
    positions, similarities = nearest(memory, asked, K)

    def support(at: int, choices: Vectors) -> FloatArray:
        weights = similarity_weights(similarities[at])
        return np.asarray(choices @ outcomes[positions[at]].T @ weights, dtype=np.float64)

    return support


def _question_support(one: ChoiceRound, embed: Embed) -> _Support:
    asked = embed([question.text for question in one.questions])

    def support(at: int, choices: Vectors) -> FloatArray:
        return np.asarray(choices @ asked[at], dtype=np.float64)

    return support


def _pick(one: ChoiceRound, embed: Embed, support: _Support) -> _Picked:
    single = [choice for question in one.questions for choice in question.single]
    multiple = [choice for question in one.questions for choice in question.multiple]
    vectors = embed([*single, *multiple])
    rows = []
    at_single, at_multiple = 0, len(single)
    for at, question in enumerate(one.questions):
        end, end_multiple = at_single + len(question.single), at_multiple + len(question.multiple)
        first = _softmax(support(at, vectors[at_single:end]))
        second = support(at, vectors[at_multiple:end_multiple])
        rows.append(_row(question, first, second))
        at_single, at_multiple = end, end_multiple
    probability, right, mc2, chance, chance_mc2 = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    has_mc2 = ~np.isnan(mc2)
    categories = [question.category for question in one.questions]
    return _Picked(categories, probability, right, mc2[has_mc2], chance, chance_mc2[has_mc2])


def _row(
    question: ChoiceQuestion, single: FloatArray, multiple: FloatArray
) -> tuple[float, float, float, float, float]:
    best = int(single.argmax())
    right = float(best == question.single_right)
    chance = 1.0 / len(question.single)
    if not question.multiple:
        return float(single[best]), right, np.nan, chance, np.nan
    true = np.array(question.multiple_right)
    mc2 = float(_softmax(multiple)[true].sum())
    return float(single[best]), right, mc2, chance, float(true.mean())


def _softmax(support: FloatArray) -> FloatArray:
    raised = np.exp((support - support.max()) / TEMPERATURE)
    return np.asarray(raised / raised.sum())


def _joined(parts: Sequence[_Picked]) -> _Picked:
    def joined(name: str) -> FloatArray:
        return np.concatenate([getattr(part, name) for part in parts])

    return _Picked(
        [category for part in parts for category in part.categories],
        *(joined(name) for name in ("probability", "right", "mc2", "chance", "chance_mc2")),
    )


def _results(variant: Variant, picked: _Picked | None, seed: int) -> VariantResults:
    spans = max((len(one.known) for one in variant.rounds), default=0)
    if picked is None:
        return VariantResults(variant.name, spans, None, None, (), variant.why_not)
    mc1 = _rate(picked.right, picked.chance, seed)
    mc2 = _rate(picked.mc2, picked.chance_mc2, seed) if len(picked.mc2) else None
    return VariantResults(variant.name, spans, mc1, mc2, _categories(picked))


def _rate(values: FloatArray, chance: FloatArray, seed: int) -> Rate:
    rng = np.random.default_rng([seed, 10])
    draws = rng.integers(0, len(values), (_BOOTSTRAPS, len(values)))
    return Rate(float(values.mean()), interval_of(values[draws].mean(axis=1)), float(chance.mean()))


def _categories(picked: _Picked) -> list[Category]:
    names = np.array(picked.categories)
    found = []
    for name in sorted(set(picked.categories)):
        of_name = names == name
        mc2 = float(picked.mc2[of_name].mean()) if len(picked.mc2) else None
        mc1 = float(picked.right[of_name].mean())
        found.append(Category(name, int(of_name.sum()), mc1, mc2))
    return found


def _scored(name: str, picked: _Picked) -> Scored:
    everywhere = np.ones(len(picked.right), dtype=bool)  # one of the choices is always right
    return Scored(name, picked.probability, picked.probability, picked.right > 0.0, everywhere)
