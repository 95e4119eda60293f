"""Creatures: every collection is one, and a file may name slices of collections as more.

[[creature]]
name = "tracing"
dataset = "operations"
domains = ["operations/tracing"]
actions = ["ask_question"]
min_quality = 60
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from arenalab.mesh import ConfigError

_KEYS: Final = frozenset({"name", "dataset", "domains", "actions", "min_quality"})
_MAX_QUALITY: Final = 100


@dataclass(frozen=True, slots=True)
class Creature:
    """A named specialist: a slice of a dataset."""

    name: str
    dataset: str
    domains: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    min_quality: float | None = None  # in [0, 100]

    @property
    def is_whole(self) -> bool:
        """Whether the creature knows all of its dataset."""
        return not self.domains and not self.actions and self.min_quality is None


def read_creatures(path: Path | None) -> tuple[Creature, ...]:
    """Returns the creatures of a file, in its order; none without a file.

    Raises:
        ConfigError: The file cannot be read, or breaks the format above.
    """
    if path is None:
        return ()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"creatures file {path}: {error}") from error
    entries = document.get("creature", [])
    if not isinstance(entries, list) or set(document) - {"creature"}:
        raise ConfigError(f"creatures file {path}: must hold [[creature]] tables only")
    creatures = tuple(_creature(path, entry) for entry in entries)
    names = [creature.name for creature in creatures]
    if len(set(names)) != len(names):
        raise ConfigError(f"creatures file {path}: every name must be unique")
    return creatures


def all_creatures(datasets: Sequence[str], named: Sequence[Creature]) -> list[Creature]:
    """Returns a creature for each dataset, in their order, then the named ones that have theirs.

    A named creature hides the dataset's own of the same name.
    """
    hidden = {creature.name for creature in named if creature.dataset in datasets}
    own = [Creature(name, name) for name in datasets if name not in hidden]
    return own + [creature for creature in named if creature.dataset in datasets]


def _creature(path: Path, entry: Any) -> Creature:
    if not isinstance(entry, dict) or set(entry) - _KEYS:
        raise ConfigError(f"creatures file {path}: a creature has only {', '.join(sorted(_KEYS))}")
    for key in ("name", "dataset"):
        if not isinstance(entry.get(key), str) or not entry[key]:
            raise ConfigError(f"creatures file {path}: {key} must be a text")
    quality = entry.get("min_quality")
    if quality is not None and not (type(quality) in (int, float) and 0 <= quality <= _MAX_QUALITY):
        raise ConfigError(f"creatures file {path}: min_quality must be in [0, 100], got {quality}")
    return Creature(
        entry["name"],
        entry["dataset"],
        _texts(path, entry, "domains"),
        _texts(path, entry, "actions"),
        None if quality is None else float(quality),
    )


def _texts(path: Path, entry: dict[str, Any], key: str) -> tuple[str, ...]:
    values = entry.get(key, [])
    if not isinstance(values, list) or not all(isinstance(v, str) and v for v in values):
        raise ConfigError(f"creatures file {path}: {key} must be a list of texts")
    return tuple(values)
