"""What a search looks for."""

from dataclasses import dataclass

from arenalab.planning import Plan
from arenalab.search.condition import EVERYTHING, Filter
from arenalab.search.ranking import Ranking


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """A search, its text or vector apart."""

    limit: int
    wanted: Filter = EVERYTHING
    plan: Plan | None = None  # None: search plans for itself
    recall_target: float = 0.99
    ranking: Ranking | None = None  # None: by similarity alone
    explain: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TextQuery:
    """A search for a text, whose spans are read too."""

    scope: str  # the tenant
    text: str
    query: Query
    depth: int = 0
    extra_text: str = ""
