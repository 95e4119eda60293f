"""calibration.json: the confidence model, the labelled pairs, and what they showed."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np

from arenalab.predictor.confidence import ConfidenceModel
from arenalab.predictor.context_weights import LearnedWeights, dump_weights, load_weights
from arenalab.predictor.features import FEATURES_VERSION, NAMES
from arenalab.predictor.guarantee import BoolArray
from arenalab.predictor.neighbourhood import FloatArray
from arenalab.predictor.reliability import Bin

FORMAT: Final = "arenalab.calibration/1"


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


@dataclass(frozen=True)
class Summary:
    """What the calibration showed."""

    examples: int  # questions that the model was fitted on
    expected_calibration_error: float
    brier: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Artefact:
    """Everything that serving needs of a calibration."""

    model: ConfidenceModel | None  # None: nothing could be learnt
    pairs: Pairs
    summary: Summary
    basis: Basis
    alpha: float
    delta: float
    recorded: float  # confidence in a question that is in memory word for word
    context: LearnedWeights | None = None  # None: the fixed weights, none were tried


def dump_artefact(artefact: Artefact) -> bytes:
    """Returns the JSON; the same artefact gives the same bytes."""
    model = artefact.model
    document = {
        "format": FORMAT,
        "features_version": FEATURES_VERSION,
        "features": list(NAMES),
        "basis": artefact.basis.value,
        "alpha": artefact.alpha,
        "delta": artefact.delta,
        "recorded": artefact.recorded,
        "context": None if artefact.context is None else dump_weights(artefact.context),
        "model": None
        if model is None
        else {
            "mean": model.mean.tolist(),
            "std": model.std.tolist(),
            "low": model.low.tolist(),
            "high": model.high.tolist(),
            "weights": model.weights.tolist(),
            "intercept": model.intercept,
            "platt_slope": model.platt_slope,
            "platt_intercept": model.platt_intercept,
        },
        "pairs": {
            "confidences": artefact.pairs.confidences.tolist(),
            "correct": artefact.pairs.correct.astype(int).tolist(),
        },
        "summary": {
            "examples": artefact.summary.examples,
            "expected_calibration_error": artefact.summary.expected_calibration_error,
            "brier": artefact.summary.brier,
            "bins": [[b.size, b.confidence, b.accuracy] for b in artefact.summary.bins],
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
            raise ArtefactError(f"format must be {FORMAT!r}, got {document['format']!r}")
        if (document["features_version"], document["features"]) != (FEATURES_VERSION, list(NAMES)):
            raise ArtefactError("the artefact was made from other features; publish again")
        return _artefact(document)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        if isinstance(error, ArtefactError):
            raise
        raise ArtefactError(f"not a calibration artefact: {error}") from error


def _artefact(document: dict[str, Any]) -> Artefact:
    summary, pairs = document["summary"], document["pairs"]
    loaded = Artefact(
        model=_model(document["model"]),
        pairs=Pairs(_floats(pairs["confidences"]), np.array(pairs["correct"], dtype=bool)),
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
        # Absent in calibrations made before there were weights to learn.
        context=load_weights(document["context"]) if document.get("context") else None,
    )
    if len(loaded.pairs.confidences) != len(loaded.pairs.correct):
        raise ArtefactError("pairs must have as many labels as confidences")
    return loaded


def _model(document: dict[str, Any] | None) -> ConfidenceModel | None:
    if document is None:
        return None
    model = ConfidenceModel(
        mean=_floats(document["mean"]),
        std=_floats(document["std"]),
        low=_floats(document["low"]),
        high=_floats(document["high"]),
        weights=_floats(document["weights"]),
        intercept=float(document["intercept"]),
        platt_slope=float(document["platt_slope"]),
        platt_intercept=float(document["platt_intercept"]),
    )
    sizes = {len(part) for part in (model.mean, model.std, model.low, model.high)}
    if sizes != {len(NAMES)} or len(model.weights) != 2 * len(NAMES):
        raise ArtefactError("the model must have one weight for each feature and its square")
    return model


def _floats(values: list[float]) -> FloatArray:
    return np.array(values, dtype=np.float64)
