"""How a search is best carried out: facts, costs, plans. Pure; used by planner and search."""

from arenalab.planning.cost import DEFAULT_MODEL, Correction, CostModel
from arenalab.planning.engine import Engine, Strategy
from arenalab.planning.explain import explain, explained
from arenalab.planning.plan import (
    DEFAULT_RECALL,
    LEAST_LOCAL_SHARE,
    PROBE_HITS,
    UNKNOWN_AGREEMENT,
    Choice,
    Facts,
    Plan,
    Probe,
    Step,
    choose,
)
from arenalab.planning.recall import EFFORTS, UNREACHABLE

__all__ = [
    "DEFAULT_MODEL",
    "DEFAULT_RECALL",
    "EFFORTS",
    "LEAST_LOCAL_SHARE",
    "PROBE_HITS",
    "UNKNOWN_AGREEMENT",
    "UNREACHABLE",
    "Choice",
    "Correction",
    "CostModel",
    "Engine",
    "Facts",
    "Plan",
    "Probe",
    "Step",
    "Strategy",
    "choose",
    "explain",
    "explained",
]
