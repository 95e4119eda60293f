"""How many minimal pairs a memory falls for, with what certainty.

The figure speaks of generated questions: of changes that the generator knows how to make, not of
every change that a person could.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from scipy.special import betaincinv

from arenalab.contrast.generator import ContrastKind, ContrastPair

# Accepted pairs that are kept, for people to look at.
MAX_EXAMPLES: Final = 10
# What a memory answers each of some questions with: the key of an outcome, empty where it
# abstains.
Served = Callable[[Sequence[str]], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of pairs, with its exact interval."""

    pairs: int
    false_accepts: int
    lower: float
    upper: float

    @property
    def value(self) -> float | None:
        """The share, in [0, 1]; None where there is no pair: it was not measured."""
        return self.false_accepts / self.pairs if self.pairs else None


@dataclass(frozen=True, slots=True)
class ContrastCertificate:
    """False accepts of a memory on minimal pairs."""

    total: Rate
    by_kind: dict[ContrastKind, Rate]  # of the kinds that any pair is of
    otherwise: int  # variants served with another outcome, of which nobody knows if it is right
    examples: tuple[ContrastPair, ...]  # accepted ones

    @property
    def is_measured(self) -> bool:
        """Whether a pair could be made at all."""
        return self.total.pairs > 0

    def exceeds(self, alpha: float) -> bool:
        """Whether the share that was measured is above the tolerated risk."""
        return self.total.value is not None and self.total.value > alpha


def contrast_certificate(
    pairs: Sequence[ContrastPair], served: Served, *, delta: float = 0.05
) -> ContrastCertificate:
    """Returns the false accepts of a memory: variants that it answers as their question.

    Args:
        pairs: As `contrast_pairs` makes them.
        served: Asked once, with every variant.
        delta: Probability that an interval misses, in (0, 1), half on either side.
    """
    answers = served([pair.variant for pair in pairs])
    wrong = [answer == pair.outcome for pair, answer in zip(pairs, answers, strict=True)]
    kinds = {
        kind: rate(
            sum(pair.kind is kind for pair in pairs),
            sum(bad for pair, bad in zip(pairs, wrong, strict=True) if pair.kind is kind),
            delta,
        )
        for kind in ContrastKind
    }
    accepted = [pair for pair, bad in zip(pairs, wrong, strict=True) if bad]
    return ContrastCertificate(
        total=rate(len(pairs), len(accepted), delta),
        by_kind={kind: one for kind, one in kinds.items() if one.pairs},
        otherwise=sum(bool(answer) for answer in answers) - len(accepted),
        examples=tuple(accepted[:MAX_EXAMPLES]),
    )


def rate(trials: int, events: int, delta: float) -> Rate:
    """Returns a share with its Clopper-Pearson interval; [0, 1] where there is no trial.

    Source: Clopper and Pearson (1934), Biometrika 26(4).
    """
    lower = float(betaincinv(events, trials - events + 1, delta / 2)) if events else 0.0
    upper = (
        float(betaincinv(events + 1, trials - events, 1 - delta / 2)) if events < trials else 1.0
    )
    return Rate(trials, events, lower, upper)
