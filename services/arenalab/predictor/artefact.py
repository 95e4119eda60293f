"""calibration.json: the confidence model, the labelled pairs, and what they showed."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np

from arenalab.predictor.confidence import Bend, ConfidenceModel
from arenalab.predictor.context_weights import LearnedWeights, dump_weights, load_weights
from arenalab.predictor.features import FEATURES_VERSION, NAMES
from arenalab.predictor.guarantee import BoolArray
from arenalab.predictor.mixing import WITNESSES, Mixing
from arenalab.predictor.neighbourhood import FloatArray
from arenalab.predictor.reliability import Bin

FORMAT: Final = "arenalab.calibration/3"
_VECTORS: Final = ("mean", "std", "low", "high", "weights")


class ArtefactError(ValueError):
    """The bytes are no calibration artefact, or one of other features."""


class Basis(StrEnum):
    """Which labelled questions the bound is computed from."""

    DATASET_HOLDOUT = "dataset_holdout"
    LABELLED_TRAFFIC = "labelled_traffic"


@dataclass(frozen=True)
class Pairs:
    """Labelled questions: the confidence of each, and whether the output was right.

    A confidence of 0 stands for an output that is never served.
    """

    confidences: FloatArray  # (n,)
    correct: BoolArray  # (n,)
    set_scores: FloatArray  # (n,), for prediction sets; NaN: the right outcome is not in memory
    groups: tuple[str, ...]  # n domains; empty: none


@dataclass(frozen=True)
class Summary:
    """What the calibration showed."""

    examples: int  # questions that the model was fitted on
    expected_calibration_error: float
    brier: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Artefact:
    """Everything that serving needs of a calibration, beside the views."""

    model: ConfidenceModel | None  # None: nothing could be learnt
    pairs: Pairs
    summary: Summary
    basis: Basis
    alpha: float
    delta: float
    recorded: float  # confidence in a question that is in memory word for word
    mixing: Mixing | None = None  # None: the version has no views
    bend: Bend | None = None  # curve of labelled traffic, on top of the model's own
    context: LearnedWeights | None = None  # None: the fixed weights, none were tried


def dump_artefact(artefact: Artefact) -> bytes:
    """Returns the JSON; the same artefact gives the same bytes."""
    pairs, summary = artefact.pairs, artefact.summary
    names = sorted(set(pairs.groups))
    at = {name: n for n, name in enumerate(names)}
    document = {
        "format": FORMAT,
        "features_version": FEATURES_VERSION,
        "features": list(NAMES),
        "basis": artefact.basis.value,
        "alpha": artefact.alpha,
        "delta": artefact.delta,
        "recorded": artefact.recorded,
        "mixing": None
        if artefact.mixing is None
        else dict(zip(WITNESSES, artefact.mixing.weights.tolist(), strict=True)),
        "bend": None if artefact.bend is None else asdict(artefact.bend),
        "context": None if artefact.context is None else dump_weights(artefact.context),
        "model": None if artefact.model is None else _model_form(artefact.model),
        "pairs": {
            "confidences": pairs.confidences.tolist(),
            "correct": pairs.correct.astype(int).tolist(),
            "set_scores": [None if np.isnan(s) else s for s in pairs.set_scores.tolist()],
            "group_names": names,
            "groups": [at[name] for name in pairs.groups],
        },
        "summary": {
            "examples": summary.examples,
            "expected_calibration_error": summary.expected_calibration_error,
            "brier": summary.brier,
            "bins": [[b.size, b.confidence, b.accuracy] for b in summary.bins],
        },
    }
    return json.dumps(document, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()


def load_artefact(data: bytes) -> Artefact:
    """Returns the artefact of its JSON.

    Raises:
        ArtefactError: Not of this format, or its features are not those of this program.
    """
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise ArtefactError(
                f"format must be {FORMAT!r}, got {document['format']!r}; publish again"
            )
        if (document["features_version"], document["features"]) != (FEATURES_VERSION, list(NAMES)):
            raise ArtefactError("the artefact was made from other features; publish again")
        return _artefact(document)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        if isinstance(error, ArtefactError):
            raise
        raise ArtefactError(f"not a calibration artefact: {error}") from error


def _artefact(document: dict[str, Any]) -> Artefact:
    summary, context = document["summary"], document["context"]
    mixing, bend = document["mixing"], document["bend"]
    return Artefact(
        model=_model(document["model"]),
        pairs=_pairs(document["pairs"]),
        summary=Summary(
            examples=int(summary["examples"]),
            expected_calibration_error=float(summary["expected_calibration_error"]),
            brier=float(summary["brier"]),
            bins=tuple(Bin(int(b[0]), float(b[1]), float(b[2])) for b in summary["bins"]),
        ),
        basis=Basis(document["basis"]),
        alpha=float(document["alpha"]),
        delta=float(document["delta"]),
        recorded=float(document["recorded"]),
        mixing=None if mixing is None else Mixing(_floats([mixing[name] for name in WITNESSES])),
        bend=None if bend is None else _bend(bend),
        context=None if context is None else load_weights(context),
    )


def _pairs(form: dict[str, Any]) -> Pairs:
    names = form["group_names"]
    pairs = Pairs(
        confidences=_floats(form["confidences"]),
        correct=np.array(form["correct"], dtype=bool),
        set_scores=_floats([np.nan if s is None else s for s in form["set_scores"]]),
        groups=tuple(str(names[n]) for n in form["groups"]),
    )
    sizes = {len(pairs.confidences), len(pairs.correct), len(pairs.set_scores), len(pairs.groups)}
    if len(sizes) > 1:
        raise ArtefactError("pairs must have as many labels as confidences")
    return pairs


def _model_form(model: ConfidenceModel) -> dict[str, Any]:
    return {
        **{name: getattr(model, name).tolist() for name in _VECTORS},
        "intercept": model.intercept,
        "bend": asdict(model.bend),
    }


def _model(form: dict[str, Any] | None) -> ConfidenceModel | None:
    if form is None:
        return None
    vectors = {name: _floats(form[name]) for name in _VECTORS}
    if {len(vector) for vector in vectors.values()} != {len(NAMES)}:
        raise ArtefactError("the model must have one weight for each feature")
    return ConfidenceModel(**vectors, intercept=float(form["intercept"]), bend=_bend(form["bend"]))


def _bend(form: dict[str, Any]) -> Bend:
    bend = Bend(float(form["low"]), float(form["high"]), float(form["shift"]))
    if not (bend.low > 0 and bend.high > 0):
        raise ArtefactError("a calibration curve must rise")
    return bend


def _floats(values: list[float]) -> FloatArray:
    return np.array(values, dtype=np.float64)
