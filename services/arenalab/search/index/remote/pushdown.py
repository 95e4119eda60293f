"""Filters in the language of a server.

What a server finds is checked against the exact selection afterwards, so an expression
may let more through than its filter, never less. A condition that cannot be said in the
server's language is left out; under a negation, that leaves out the negation.
"""

from typing import Any, NamedTuple, Protocol

from arenalab.search.condition import Filter

_NESTED = frozenset({"all_of", "any_of", "none_of"})


class Expression(NamedTuple):
    """A condition in a server's language, and the values of its parameters."""

    text: str
    values: tuple[Any, ...] = ()


class Dialect(Protocol):
    """A server's language for conditions. All know `and`, `or`, `not` and brackets."""

    def leaf(self, name: str, value: Any) -> Expression | None:
        """Returns one condition of a Filter exactly; None where it cannot be said."""


def pushed(wanted: Filter | None, dialect: Dialect) -> Expression | None:
    """Returns an expression that every row passes that passes the filter; None: all do."""
    return None if wanted is None else _translated(wanted, dialect).expression


class _Translated(NamedTuple):
    expression: Expression | None
    is_exact: bool  # whether only rows that pass the filter pass the expression


def _translated(wanted: Filter, dialect: Dialect) -> _Translated:
    parts = [
        _leaf(dialect, name, getattr(wanted, name))
        for name in wanted.conditions()
        if name not in _NESTED
    ]
    parts += [_translated(nested, dialect) for nested in wanted.all_of]
    if wanted.any_of:
        parts.append(_any([_translated(nested, dialect) for nested in wanted.any_of]))
    parts += [_none(_translated(nested, dialect)) for nested in wanted.none_of]
    said = [part.expression for part in parts if part.expression is not None]
    return _Translated(_joined(said, " and "), all(part.is_exact for part in parts))


def _leaf(dialect: Dialect, name: str, value: Any) -> _Translated:
    expression = dialect.leaf(name, value)
    return _Translated(expression, expression is not None)


def _any(parts: list[_Translated]) -> _Translated:
    said = [part.expression for part in parts if part.expression is not None]
    if len(said) < len(parts):  # one of them lets everything through
        return _Translated(None, is_exact=False)
    return _Translated(_joined(said, " or "), all(part.is_exact for part in parts))


def _none(part: _Translated) -> _Translated:
    if part.expression is None or not part.is_exact:
        return _Translated(None, is_exact=False)
    return _Translated(
        Expression(f"not ({part.expression.text})", part.expression.values), is_exact=True
    )


def _joined(parts: list[Expression], word: str) -> Expression | None:
    if not parts:
        return None
    return Expression(
        word.join(f"({part.text})" for part in parts) if len(parts) > 1 else parts[0].text,
        tuple(value for part in parts for value in part.values),
    )
