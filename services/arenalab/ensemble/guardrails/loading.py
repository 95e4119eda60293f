r"""The guardrails that a file configures, in its order: patterns first, then plugins.

    {"patterns": [{"name": "card", "pattern": "\\b\\d{13,19}\\b", "action": "redact",
                   "replacement": "[card]", "stages": ["output"], "reason": "a card number"}],
     "plugins": ["acme"]}

`replacement` is "[<name>]", `stages` both and `reason` empty where they are not given.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from arenalab.ensemble.guardrails.guardrail import Action, Guardrail, Stage
from arenalab.ensemble.guardrails.patterns import Pattern, Patterns, compiled
from arenalab.mesh import ConfigError

GROUP: Final = "arenalab.guardrails"
MAX_PATTERNS: Final = 64
MAX_NAME: Final = 64
_ACTIONS: Final = {"redact": Action.REDACT, "block": Action.BLOCK}
_STAGES: Final = {"input": Stage.INPUT, "output": Stage.OUTPUT}
_KEYS: Final = frozenset({"name", "pattern", "action", "replacement", "stages", "reason"})


def load_guardrails(path: Path | None) -> tuple[Guardrail, ...]:
    """Returns the guardrails of a file; none where there is no path.

    Raises:
        ConfigError: The file cannot be read, or does not hold guardrails.
    """
    if path is None:
        return ()
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, Mapping) or found.keys() - {"patterns", "plugins"}:
        raise ConfigError(f"{path} must hold an object of 'patterns' and 'plugins'")
    patterns = [
        _pattern(f"{path}: patterns[{n}]", one)
        for n, one in enumerate(_list(path, found, "patterns"))
    ]
    if len(patterns) > MAX_PATTERNS or len({one.name for one in patterns}) < len(patterns):
        raise ConfigError(f"{path} must hold at most {MAX_PATTERNS} patterns, each name once")
    plugins = [_plugin(f"{path}: plugins", name) for name in _list(path, found, "plugins")]
    return (Patterns(patterns), *plugins) if patterns else tuple(plugins)


def _list(path: Path, found: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = found.get(name, [])
    if not isinstance(value, list):
        raise ConfigError(f"{path}: {name} must be an array")
    return value


def _pattern(place: str, given: object) -> Pattern:
    if not isinstance(given, Mapping) or given.keys() - _KEYS:
        raise ConfigError(f"{place} must be an object of {', '.join(sorted(_KEYS))}")
    texts = {
        key: given.get(key, "") for key in ("name", "pattern", "action", "replacement", "reason")
    }
    if not all(isinstance(text, str) for text in texts.values()):
        raise ConfigError(f"{place} must hold strings")
    if not 1 <= len(texts["name"]) <= MAX_NAME:
        raise ConfigError(f"{place}.name must have 1 to {MAX_NAME} characters")
    if texts["action"] not in _ACTIONS:
        raise ConfigError(f"{place}.action must be 'redact' or 'block'")
    stages = given.get("stages", list(_STAGES))
    if not isinstance(stages, list) or not stages or not set(stages) <= _STAGES.keys():
        raise ConfigError(f"{place}.stages must be some of 'input' and 'output'")
    try:
        expression, longest = compiled(texts["pattern"])
    except ConfigError as error:
        raise ConfigError(f"{place}.pattern: {error}") from error
    return Pattern(
        name=texts["name"],
        expression=expression,
        longest=longest,
        action=_ACTIONS[texts["action"]],
        replacement=texts["replacement"] if "replacement" in given else f"[{texts['name']}]",
        stages=frozenset(_STAGES[stage] for stage in stages),
        reason=texts["reason"],
    )


def _plugin(place: str, name: object) -> Guardrail:
    found = [one for one in entry_points(group=GROUP) if one.name == name]
    if len(found) != 1:
        raise ConfigError(f"{place}: no installed package offers the guardrail {name!r}")
    guardrail: Guardrail = found[0].load()()
    return guardrail
