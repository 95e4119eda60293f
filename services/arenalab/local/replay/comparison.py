"""What differs between an answer and its replay. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from blake3 import blake3

from arenalab.atomic import canonical_json
from arenalab.local.replay.sealed import SealedAnswer

# Drawn by chance, named by the caller, or about a provider or a guardrail: not what memory
# says.
_NOT_COMPARED: Final = frozenset(
    {
        "audited", "audit_propensity", "guardrails", "request_id", "rephrasing", "provider",
        "provider_model",
    }
)  # fmt: skip
_FIELDS: Final = ("evidence_ids", "dataset_version", "model_digest")


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that is not the same."""

    name: str
    sealed: Any
    replayed: Any


def differences(sealed: SealedAnswer, replayed: SealedAnswer) -> list[Difference]:
    """Returns every fact that differs; none of them is about the words."""
    before, after = dict(_facts(sealed)), dict(_facts(replayed))
    return [
        Difference(name, before.get(name), after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name) and not _is_providers(name, sealed)
    ]


def _is_providers(name: str, sealed: SealedAnswer) -> bool:
    """Returns whether it was a provider that changed this fact of the sealed answer."""
    if "memory" in sealed.content:  # a rephrasing weakens the guarantee
        return name == "guarantee.status"
    # Asking one for an answer drops memory's guarantee, also when none is had.
    return "trouble" in sealed.content and name.startswith("guarantee.")


def _facts(answer: SealedAnswer) -> Iterator[tuple[str, Any]]:
    for name in _FIELDS:
        yield name, answer.leaf[name]
    for name, value in answer.leaf["facts"].items():
        if name not in _NOT_COMPARED:
            yield from _flat(name, value)
    config = answer.config
    for one in config.pop("creatures"):
        for part in ("dataset_version", "calibration"):
            yield f"config.{one['creature'] or 'default'}.{part}", one[part]
    del config["max_age_s"]  # counted from another moment
    for name, value in config.items():
        yield f"config.{name}", value


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for part, inner in value.items():
            yield from _flat(f"{name}.{part}", inner)
    else:
        yield name, value


def has_sealed_config(answer: SealedAnswer) -> bool:
    """Returns whether the settings are those whose digest is in the leaf."""
    config = canonical_json(json.loads(answer.content["config"]))
    return bool(blake3(config).hexdigest() == answer.leaf["config_digest"])
