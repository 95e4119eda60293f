"""How Ensemble is run: read once, at start, from the environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from arenalab.mesh import ConfigError, address_of, ports

MAX_EVIDENCE: Final = 50  # that the predictor returns


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig:
    """Settings of one Ensemble process. The variable of `x` is `ENSEMBLE_X`."""

    address: str = address_of(ports.ENSEMBLE)
    predictor_address: str = address_of(ports.PREDICTOR)
    fallback_address: str = address_of(ports.FALLBACK)
    ledger_address: str = address_of(ports.LEDGER)
    # Entries that could not be sealed under `ledger: best_effort` wait here.
    journal_path: Path = Path("ensemble/unsealed.ndjson")
    max_unsealed: int = 10_000  # beyond it, best-effort answers are refused too
    # Predictions that feedback can name, and the key of the draw.
    predictions_dir: Path = Path("ensemble/predictions")
    max_predictions: int = 20_000  # of those that were not drawn; the older half goes first
    max_audits: int = 2_000  # of those that were
    audit_rate: float = 0.01  # share of memory's outputs drawn for labelling; 0: none
    guardrails_path: Path | None = None  # JSON; none: nothing is looked at
    predict_timeout_s: float = 5.0
    fallback_timeout_s: float = 120.0
    rephrase_timeout_s: float = 15.0  # then the words of the spans are served
    ledger_timeout_s: float = 5.0
    erase_timeout_s: float = 60.0
    # Evidence for a provider's prompt, at most 50: memory is asked once more where the caller
    # wants less. 0: as much as the caller wants.
    rag_evidence: int = 0
    max_creatures_at_once: int = 8  # Predict calls in flight for one answer

    def __post_init__(self) -> None:
        for name in (
            "predict_timeout_s",
            "fallback_timeout_s",
            "rephrase_timeout_s",
            "ledger_timeout_s",
            "erase_timeout_s",
        ):
            if getattr(self, name) <= 0:
                raise ConfigError(f"ENSEMBLE_{name.upper()} must be > 0")
        if not 0 <= self.audit_rate <= 1:
            raise ConfigError(f"ENSEMBLE_AUDIT_RATE must be in [0, 1], got {self.audit_rate}")
        for name in ("max_predictions", "max_audits"):
            if getattr(self, name) < 2:  # noqa: PLR2004 - one for each segment
                raise ConfigError(f"ENSEMBLE_{name.upper()} must be >= 2")
        if not 0 <= self.rag_evidence <= MAX_EVIDENCE:
            raise ConfigError(f"ENSEMBLE_RAG_EVIDENCE must be in [0, {MAX_EVIDENCE}]")
        if self.max_creatures_at_once < 1:
            raise ConfigError("ENSEMBLE_MAX_CREATURES_AT_ONCE must be >= 1")
