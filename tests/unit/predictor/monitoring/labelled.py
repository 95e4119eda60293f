"""Calibrations and labels that tests of the running tests share."""

from typing import Any

import numpy as np

from arenalab.predictor.artefact import Artefact, Basis, Pairs, Summary
from arenalab.predictor.calibrated import Calibrated
from arenalab.predictor.monitoring.labels import Label, Source

ID = "0" * 16


def calibrated(*, served: int = 200, alpha: float = 0.05, delta: float = 0.05) -> Calibrated:
    """Returns a calibration whose `served` most confident questions were all right."""
    confidences = np.concatenate([np.linspace(0.9, 1.0, served), np.linspace(0.1, 0.5, 60)])
    correct = confidences > 0.6
    size = len(confidences)
    pairs = Pairs(confidences, correct, np.zeros(size), ("",) * size)
    summary = Summary(0, 0.0, 0.0, ())
    return Calibrated(Artefact(None, pairs, summary, Basis.LABELLED_TRAFFIC, alpha, delta, 0.9))


def label(n: int, **fields: Any) -> Label:
    """Returns the label of a served answer, right unless told otherwise."""
    given: dict[str, Any] = {
        "prediction_id": f"p{n}",
        "source": Source.AUDIT,
        "creature": "faq",
        "calibration": ID,
        "confidence": 0.95,
        "admissible": True,
        "served": True,
        "correct": True,
        "turns": (f"question {n}?",),
        "outcomes": ("yes",),
    }
    return Label(**(given | fields))
