"""A label: whether the output of one prediction was right, and how that came to be known."""

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any


class Source(StrEnum):
    """What may be concluded from a label."""

    AUDIT = "audit"  # drawn at random, whatever the prediction said
    FEEDBACK = "feedback"  # somebody spoke up


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One prediction with its label. Units as in the proto."""

    prediction_id: str
    source: Source
    creature: str
    calibration: str
    confidence: float
    admissible: bool
    served: bool
    correct: bool
    propensity: float = 1.0
    turns: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    subject: str = ""  # whose words turns and outcomes are; empty: nobody's in particular

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same label again."""
        return self.prediction_id, self.source.value

    @property
    def can_calibrate(self) -> bool:
        """Whether it was drawn at random and its question is known."""
        return self.source is Source.AUDIT and bool(self.turns)


def without_words(label: Label) -> Label:
    """Returns a label that says as much of the bound, and nothing of what anybody said."""
    return replace(label, turns=(), outcomes=(), subject="")


def label_form(label: Label) -> dict[str, Any]:
    """Returns the JSON form."""
    return asdict(label)


def label_from(form: dict[str, Any]) -> Label:
    """Returns the label of its JSON form.

    Raises:
        KeyError, TypeError, ValueError: It is none.
    """
    return Label(
        prediction_id=str(form["prediction_id"]),
        source=Source(form["source"]),
        creature=str(form["creature"]),
        calibration=str(form["calibration"]),
        confidence=float(form["confidence"]),
        admissible=bool(form["admissible"]),
        served=bool(form["served"]),
        correct=bool(form["correct"]),
        propensity=float(form["propensity"]),
        turns=tuple(map(str, form["turns"])),
        outcomes=tuple(map(str, form["outcomes"])),
        subject=str(form.get("subject", "")),
    )
