"""Runs a suite: embeds, lets every contender score every question once, then resamples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from arenalab.local.evaluation.ablation import ablate
from arenalab.local.evaluation.baselines import SemanticCache, TopOnePlatt, VoteShare
from arenalab.local.evaluation.contender import (
    Asked,
    Contender,
    Fitted,
    LearnsOnline,
    Memory,
    OwnRule,
    Proposals,
    Scored,
    nearest,
)
from arenalab.local.evaluation.contrast import (
    ContrastQuestions,
    contrast_answers,
    contrast_questions,
    false_accepts,
)
from arenalab.local.evaluation.embeddings import Embedder, Embeddings
from arenalab.local.evaluation.figures import quality_of
from arenalab.local.evaluation.multiple_choice import measure
from arenalab.local.evaluation.own import ContrastGenerator, OwnContender, OwnFitted
from arenalab.local.evaluation.resampling import (
    Split,
    all_figures,
    make_splits,
    nothing_computed,
    too_few,
)
from arenalab.local.evaluation.results import ContenderResults, FixedThreshold, Results
from arenalab.local.evaluation.suites.choices import ChoiceTask
from arenalab.local.evaluation.task import Round, Task, calibration_size
from arenalab.local.evaluation.vcache import VCache
from arenalab.predictor.guarantee import DEFAULT_DELTA
from arenalab.predictor.neighbourhood import K

ALPHAS: Final = (0.01, 0.02, 0.05, 0.10)
RESPLITS: Final = 100
# A threshold that caches are commonly given by hand.
FIXED_COSINE: Final = 0.8

_PICKS: Final = (
    "The choice that the outcomes of similar past questions speak for; its confidence is a "
    "softmax of fixed temperature, not the predictor's."
)
_IGNORES: Final = "The choice most similar to the question: no memory at all."

Progress = Callable[[str, int, int], None]  # what, done, of how many


@dataclass(frozen=True)
class Options:
    """How to evaluate."""

    alphas: Sequence[float] = ALPHAS
    delta: float = DEFAULT_DELTA
    resplits: int = RESPLITS
    calibration: int | None = None  # questions; None: 1,800, at most half
    seed: int = 0
    ablate: bool = False


@dataclass(frozen=True)
class _Scores:
    """What one contender made of all rounds."""

    scored: Scored
    fitted: Sequence[Fitted]
    proposals: Sequence[Proposals]


def default_contenders(alphas: Sequence[float]) -> list[Contender]:
    """Returns ArenaLab, then what it is compared with."""
    return [OwnContender(), SemanticCache(), VoteShare(), TopOnePlatt(), VCache(alphas)]


def evaluate(
    task: Task,
    embedder: Embedder,
    options: Options,
    progress: Progress,
    contrast: ContrastGenerator | None = None,
) -> Results:
    """Returns what a task shows of ArenaLab and the baselines.

    The same task, embedder and options give the same results.
    """
    embed = Embeddings(embedder, progress)
    memories = [_memory(task, one, embed) for one in task.rounds]
    asked = [_asked(one, memory, embed) for one, memory in zip(task.rounds, memories, strict=True)]
    scores = [
        _scores(contender, task, memories, asked, options, progress)
        for contender in default_contenders(options.alphas)
    ]
    pairs = contrast_questions(contrast, memories, embed) if contrast else None
    results = _assembled(task, [one.scored for one in scores], options, embed.name, progress)
    return _extended(results, scores, pairs, options, progress)


def evaluate_choices(
    task: ChoiceTask, embedder: Embedder, options: Options, progress: Progress
) -> Results:
    """Returns what a multiple-choice suite shows; the guarantee is that of its first variant."""
    embed = Embeddings(embedder, progress)
    choices, own, bare = measure(task, embed, lambda what: progress(what, 0, 1), options.seed)
    lead = task.variants[0].rounds
    plain = Task(task.name, task.title, [], task.notes, task.flattered)
    results = _assembled(plain, [own, bare], options, embed.name, progress)
    return replace(
        results,
        own=replace(results.own, described=_PICKS),
        baselines=[replace(one, described=_IGNORES) for one in results.baselines],
        spans=max(len(one.known) for one in lead),
        choices=choices,
        not_computed=results.not_computed
        | {
            "oos_auroc": "one of the choices is always right: nothing is out of scope",
            "contrast_false_accept": "not defined for multiple choice",
        },
    )


def _memory(task: Task, one: Round, embed: Embeddings) -> Memory:
    keys = [task.key(known.outcome) for known in one.known]
    return Memory(one.known, keys, embed([known.text for known in one.known]))


def _asked(one: Round, memory: Memory, embed: Embeddings) -> Asked:
    texts = [question.text for question in one.questions]
    vectors = embed(texts)
    return Asked(texts, vectors, *nearest(memory.vectors, vectors, K))


def _scores(
    contender: Contender,
    task: Task,
    memories: Sequence[Memory],
    asked: Sequence[Asked],
    options: Options,
    progress: Progress,
) -> _Scores:
    fitted, proposals, rules = [], [], []
    for at, (memory, questions) in enumerate(zip(memories, asked, strict=True)):
        progress(f"{contender.name}: fitting and scoring", at, len(memories))
        fitted.append(contender.fit(memory, options.seed))
        proposals.append(fitted[-1].score(questions))
        if isinstance(contender, LearnsOnline):
            right = [question.right for question in task.rounds[at].questions]
            rules.append(contender.rule(memory, questions, right, options.seed))
    progress(f"{contender.name}: fitting and scoring", len(memories), len(memories))
    scored = contender.finish(pooled(contender.name, task, memories, proposals), options.seed)
    return _Scores(replace(scored, own_rule=_joined(rules)), fitted, proposals)


def _joined(rules: Sequence[OwnRule]) -> OwnRule | None:
    if not rules:
        return None
    serving = {
        alpha: np.concatenate([one.serving[alpha] for one in rules]) for alpha in rules[0].serving
    }
    return OwnRule(serving, np.concatenate([one.correct for one in rules]))


def pooled(
    name: str, task: Task, memories: Sequence[Memory], proposals: Sequence[Proposals]
) -> Scored:
    """Returns the proposals of all rounds, held against the labels."""
    correct, in_scope = [], []
    for one, memory, proposed in zip(task.rounds, memories, proposals, strict=True):
        held = set(memory.keys)
        for question, outcome in zip(one.questions, proposed.outcomes, strict=True):
            correct.append(task.key(outcome) in question.right)
            in_scope.append(bool(question.right & held))
    return Scored(
        name=name,
        confidence=np.concatenate([one.confidence for one in proposals]),
        score=np.concatenate([one.score for one in proposals]),
        correct=np.array(correct, dtype=bool),
        in_scope=np.array(in_scope, dtype=bool),
    )


def _assembled(
    task: Task, scored: Sequence[Scored], options: Options, embedder: str, progress: Progress
) -> Results:
    size = len(scored[0])
    calibration = calibration_size(size, options.calibration)
    why_not = too_few(calibration, size - calibration)
    splits = [] if why_not else make_splits(size, calibration, options.resplits, options.seed)
    described = {one.name: one.described for one in default_contenders(options.alphas)}
    found = []
    for at, one in enumerate(scored):
        progress("resampling", at, len(scored))
        found.append(_contender(one, splits, options, described.get(one.name, "")))
    progress("resampling", len(scored), len(scored))
    own = scored[0]
    return Results(
        suite=task.name,
        title=task.title,
        seed=options.seed,
        delta=options.delta,
        spans=task.spans,
        questions=size,
        in_scope=int(own.in_scope.sum()),
        calibration=calibration,
        resplits=len(splits),
        embedder=embedder,
        own=found[0],
        baselines=found[1:],
        notes=task.notes,
        not_computed=_not_computed(own, why_not),
        flattered=task.flattered,
    )


def _contender(
    scored: Scored, splits: Sequence[Split], options: Options, described: str
) -> ContenderResults:
    rows = (
        all_figures(scored, splits, options.alphas, options.delta)
        if splits
        else nothing_computed(options.alphas)
    )
    fixed = _fixed(scored) if scored.name == SemanticCache.name else None
    quality = quality_of(scored, options.seed)
    return ContenderResults(scored.name, described, scored, rows, quality, fixed=fixed)


def _fixed(scored: Scored) -> FixedThreshold:
    served = scored.score >= FIXED_COSINE
    risk = float((~scored.correct[served]).mean()) if served.any() else None
    return FixedThreshold(FIXED_COSINE, float(served.mean()), risk)


def _not_computed(own: Scored, why_not: str | None) -> dict[str, str]:
    reasons = {"contrast_false_accept": "there is no generator of contrast questions"}
    if why_not:
        reasons["alphas"] = why_not
    if not (own.confidence > 0.0).any():
        reason = "the predictor learnt no model from this dataset, so it claims no confidence"
        reasons |= dict.fromkeys(("ece", "brier", "auroc", "oos_auroc"), reason)
        return reasons
    if own.correct.all() or not own.correct.any():
        reasons["auroc"] = "all outcomes are right, or all are wrong"
    if own.in_scope.all() or not own.in_scope.any():
        reasons["oos_auroc"] = "all questions are in scope, or all are out of it"
    return reasons


def _extended(
    results: Results,
    scores: Sequence[_Scores],
    pairs: ContrastQuestions | None,
    options: Options,
    progress: Progress,
) -> Results:
    """Returns the results with the figures that need the contenders themselves."""
    own = scores[0]
    splits = make_splits(len(own.scored), results.calibration, results.resplits, options.seed)
    if pairs is not None and splits:
        results = _with_contrast(results, scores, pairs, splits, options.delta)
    ablation = None
    if options.ablate and splits:
        fitted = [one for one in own.fitted if isinstance(one, OwnFitted)]
        ablation = ablate(
            fitted, own.proposals, own.scored, splits, options.delta, options.seed, progress
        )
    return replace(results, ablation=ablation)


def _with_contrast(
    results: Results,
    scores: Sequence[_Scores],
    pairs: ContrastQuestions,
    splits: Sequence[Split],
    delta: float,
) -> Results:
    """Returns the results with every contender's false accepts of contrast questions."""
    reasons = {k: why for k, why in results.not_computed.items() if k != "contrast_false_accept"}
    if not len(pairs):
        reasons["contrast_false_accept"] = "no contrast question could be made"
    found = []
    for one, of in zip(results.everyone, scores, strict=True):
        answers = contrast_answers(of.fitted, pairs)
        fixed = one.fixed
        if fixed is not None:
            fixed = replace(fixed, contrast_false_accept=answers.share(FIXED_COSINE))
        rate = false_accepts(answers, of.scored, splits, delta)
        found.append(replace(one, contrast_false_accept=rate, fixed=fixed))
    return replace(
        results,
        own=found[0],
        baselines=found[1:],
        contrast_pairs=len(pairs),
        not_computed=reasons,
    )
