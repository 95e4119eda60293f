"""Witnesses: who sees every checkpoint of a log, so that it cannot show two faces."""

from arenalab.ledger.witness.client import (
    WitnessError,
    Witnesses,
    WitnessForkError,
    read_witnesses,
)

__all__ = ["WitnessError", "WitnessForkError", "Witnesses", "read_witnesses"]
