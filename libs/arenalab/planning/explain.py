"""A choice in sentences that people understand."""

from dataclasses import replace
from functools import lru_cache
from typing import Final

from arenalab.planning.engine import Engine, Strategy
from arenalab.planning.plan import Choice, Plan
from arenalab.planning.recall import UNREACHABLE

_NAMES: Final = {
    Engine.EXACT: "exact scan",
    Engine.HNSW: "HNSW graph",
    Engine.IVF: "inverted lists",
    Engine.MILVUS: "Milvus",
    Engine.PGVECTOR: "pgvector",
}
_MS_FROM_US: Final = 10_000
# The same choices are explained again and again: every search for a text shows its own.
_KEPT: Final = 1024


def explain(choice: Choice) -> str:
    """Returns why the plan was chosen, and how much more the others cost."""
    plan = choice.plan
    sentences = [f"{_counted(plan)}{_what(plan)}: {_time(plan.expected_us)}."]
    if plan.probe is not None:
        sentences.append(_probing(plan))
    if plan.effort != 1.0:
        sentences.append(_effort(plan.effort))
    if choice.rejected:
        others = "; ".join(f"{_name(one)} {_time(one.expected_us)}" for one in choice.rejected)
        sentences.append(f"Cheaper than {others}.")
    elif plan.recall_target >= 1.0:
        sentences.append("A perfect recall leaves nothing else.")
    elif plan.matches:
        sentences.append(f"No other index would reach a recall of {plan.recall_target:g} here.")
    return " ".join(sentences)


@lru_cache(_KEPT)
def explained(choice: Choice) -> Choice:
    """Returns the choice with an explanation in every plan."""
    winner = choice.plan
    rejected = tuple(replace(plan, explanation=_why_not(plan, winner)) for plan in choice.rejected)
    return Choice(replace(winner, explanation=explain(choice)), rejected)


def _why_not(plan: Plan, winner: Plan) -> str:
    than = f"{_name(winner)} costs {_time(winner.expected_us)}"
    return f"{_what(plan)}: {_time(plan.expected_us)}; {than}."


def _counted(plan: Plan) -> str:
    if not plan.steps and plan.matches == plan.spans:
        return f"Nothing is filtered out of {plan.spans:,} spans. "
    order = ", then ".join(f"{step.condition} {_share(step.share)}" for step in plan.steps)
    of = f" ({order})" if order else ""
    return f"{plan.matches:,} of {plan.spans:,} spans pass the filter{of}. "


def _what(plan: Plan) -> str:
    if plan.engine is Engine.EXACT:
        if not plan.matches:
            return "Nothing is searched"
        return f"Exact scan of {plan.matches:,} spans"
    name = _NAMES[plan.engine]
    how = {
        Strategy.NONE: "",
        Strategy.SCAN: "",
        Strategy.SELECTOR: " that keeps only spans that pass",
        Strategy.POST: f", unfiltered, of whose {plan.candidates:,} hits those that pass are kept",
    }[plan.strategy]
    effort = ""
    if plan.ef_search:
        effort = f" with a list of {plan.ef_search:,}"
    elif plan.n_probe:
        effort = f", {plan.n_probe:,} of them"
    return f"{name[0].upper()}{name[1:]}{effort}{how}, {plan.candidates:,} re-scored"


def _probing(plan: Plan) -> str:
    if plan.probe is not None and plan.probe.is_search:
        return "Should too few of its hits pass, the choice is made again."
    return "A probe looks first whether filter and question agree; if not, a scan follows."


def _effort(effort: float) -> str:
    if effort >= UNREACHABLE:
        return "Measured, this index finds too little however hard it is searched."
    return f"Measured, this index must be searched {effort:g} times as hard as most."


def _name(plan: Plan) -> str:
    ways = {Strategy.SELECTOR: ", filtered", Strategy.POST: ", filtered afterwards"}
    return f"{_NAMES[plan.engine]}{ways.get(plan.strategy, '')}"


def _share(share: float) -> str:
    return f"{share:.2%}" if share < 0.1 else f"{share:.0%}"  # noqa: PLR2004 - digits that tell


def _time(cost_us: float) -> str:
    if cost_us >= _MS_FROM_US:
        return f"{cost_us / 1000:,.1f} ms"
    return f"{cost_us:,.0f} µs"
