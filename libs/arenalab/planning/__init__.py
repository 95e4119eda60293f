"""How a search is best carried out: facts, costs, plans. Pure; used by planner and search."""

from arenalab.planning.engine import Engine, Strategy

__all__ = ["Engine", "Strategy"]
