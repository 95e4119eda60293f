"""The rules that the terms of a key keep."""

from dataclasses import fields
from datetime import datetime

from arenalab.gateway.keys.record import MAX_MODEL, MAX_MODELS, MAX_NAME, KeyTerms
from arenalab.gateway.limits.caps import MAX_CAP
from arenalab.mesh import InvalidInputError, scope_for, tenant_of


def check_terms(terms: KeyTerms, now: datetime) -> None:
    """Checks what a new key shall allow.

    Raises:
        InvalidInputError: A term is out of its range; `field` names it.
    """
    if not 1 <= len(terms.name) <= MAX_NAME or not terms.name.isprintable():
        raise InvalidInputError(
            f"the name must be 1 to {MAX_NAME} printable characters", field="name"
        )
    tenant_of(scope_for(terms.tenant))
    if len(terms.models) > MAX_MODELS:
        raise InvalidInputError(
            f"a key has at most {MAX_MODELS} models, got {len(terms.models)}", field="models"
        )
    for model in terms.models:
        _check_model(model)
    for one in fields(terms.caps):
        cap = getattr(terms.caps, one.name)
        if cap is not None and not 1 <= cap <= MAX_CAP:
            raise InvalidInputError(
                f"{one.name} must be in [1, {MAX_CAP}], got {cap}", field=one.name
            )
    if terms.expires is not None and terms.expires <= now:
        raise InvalidInputError("a key must expire in the future", field="expires")


def _check_model(model: str) -> None:
    # A star elsewhere would look like a pattern and match nothing.
    stem = model.removesuffix("/*")
    if not stem or "*" in stem or len(model) > MAX_MODEL or not model.isprintable():
        raise InvalidInputError(
            f"a model must be a name, or a prefix and '/*', got {model[:80]!r}", field="models"
        )
