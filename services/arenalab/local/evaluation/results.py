"""What an evaluation found, and its form as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from arenalab.local.evaluation.contender import Scored
from arenalab.local.evaluation.figures import Measured, Quality
from arenalab.local.evaluation.multiple_choice import ChoiceResults
from arenalab.local.evaluation.resampling import AlphaFigures

FLATTERY = (
    "The embedder, all-MiniLM-L6-v2, was trained on Natural Questions, StackExchange duplicates "
    "and Quora pairs: suites of that kind (nq_open, stackfaq) flatter it."
)


@dataclass(frozen=True, slots=True)
class FixedThreshold:
    """What a cache serves whose threshold nobody calibrated."""

    threshold: float  # cosine
    coverage: float
    risk: float | None  # None: nothing is served
    contrast_false_accept: float | None = None


@dataclass(frozen=True)
class ContenderResults:
    """One contender's figures."""

    name: str
    described: str
    scored: Scored
    alphas: Sequence[AlphaFigures]
    quality: Quality
    contrast_false_accept: float | None = None  # at alpha = 2 %, high_probability
    fixed: FixedThreshold | None = None

    def at(self, alpha: float, kind: str) -> AlphaFigures | None:
        """Returns the figures at one alpha and kind, if there are any."""
        return next((row for row in self.alphas if (row.alpha, row.kind) == (alpha, kind)), None)

    def as_json(self) -> dict[str, Any]:
        """Returns the figures by the names of the contract."""
        quality = self.quality
        form: dict[str, Any] = {
            "described": self.described,
            "alphas": [_row(row) for row in self.alphas],
            "accuracy": quality.accuracy,
            "ece": quality.ece.value,
            "brier": quality.brier.value,
            "auroc": quality.auroc.value,
            "oos_auroc": quality.oos_auroc.value,
            "contrast_false_accept": self.contrast_false_accept,
            "intervals": {
                name: _interval(getattr(quality, name))
                for name in ("ece", "brier", "auroc", "oos_auroc")
            },
        }
        if self.fixed is not None:
            form["fixed_threshold"] = asdict(self.fixed)
        return form


@dataclass(frozen=True, slots=True)
class Ablated:
    """What is lost when one feature's values are shuffled among the questions."""

    feature: str
    auroc_drop: float | None
    coverage_drop: float | None  # at alpha = 5 %, high_probability


@dataclass(frozen=True)
class Results:
    """Everything that a run found."""

    suite: str
    title: str
    seed: int
    delta: float
    spans: int
    questions: int
    in_scope: int
    calibration: int
    resplits: int
    embedder: str
    own: ContenderResults
    baselines: Sequence[ContenderResults]
    notes: Sequence[str]
    not_computed: dict[str, str] = field(default_factory=dict)
    ablation: Sequence[Ablated] | None = None
    choices: ChoiceResults | None = None
    contrast_pairs: int = 0
    flattered: bool = False

    @property
    def everyone(self) -> list[ContenderResults]:
        """ArenaLab, then the baselines."""
        return [self.own, *self.baselines]

    def as_json(self) -> dict[str, Any]:
        """Returns the one object that `--json` prints; None is "not computed"."""
        form = {
            "suite": self.suite,
            "title": self.title,
            "seed": self.seed,
            "delta": self.delta,
            "dataset_spans": self.spans,
            "questions": self.questions,
            "in_scope": self.in_scope,
            "calibration_n": self.calibration,
            "evaluated_n": self.questions - self.calibration,
            "resplits": self.resplits,
            "embedder": self.embedder,
            "contender": self.own.name,
            **self.own.as_json(),
            "baselines": {one.name: one.as_json() for one in self.baselines},
            "ablation": None if self.ablation is None else [asdict(one) for one in self.ablation],
            "contrast_pairs": self.contrast_pairs,
            "not_computed": self.not_computed,
            "notes": list(self.notes),
            "embedder_training": FLATTERY,
            "flattered": self.flattered,
        }
        if self.choices is not None:
            form["multiple_choice"] = self.choices.as_json()
        return form


def _row(row: AlphaFigures) -> dict[str, Any]:
    return asdict(row)


def _interval(measured: Measured) -> list[float] | None:
    return None if measured.interval is None else list(measured.interval)
