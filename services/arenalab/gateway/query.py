"""The query of a URL, read strictly, as the members of a JSON object are."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import parse_qsl

from arenalab.gateway.errors import bad_request
from arenalab.gateway.exchange import Exchange
from arenalab.gateway.fields import Fields
from arenalab.gateway.notices import take_unknown

MAX_PARAMETERS: Final = 64
_MAX_DIGITS: Final = 40


class Query:
    """The parameters of one URL."""

    def __init__(self, exchange: Exchange, known: Collection[str]) -> None:
        """Reads them all.

        Raises:
            ApiError: 400; the query is malformed, or the request is strict and a
                parameter is not known.
        """
        try:
            pairs = parse_qsl(
                exchange.query,
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_PARAMETERS,
            )
        except ValueError as error:  # not UTF-8, or too many
            raise bad_request(
                f"the query must be UTF-8 with at most {MAX_PARAMETERS} parameters",
                code="invalid_query",
            ) from error
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)
        take_unknown(exchange, [name for name in self._values if name not in known])

    def fields(self, *, numbers: Collection[str] = (), booleans: Collection[str] = ()) -> Fields:
        """Returns the parameters that may come once, as a JSON object would have them.

        Raises:
            ApiError: 400; one came twice, or is no number or boolean.
        """
        found: dict[str, object] = {}
        for name, values in self._values.items():
            if len(values) > 1:
                found[name] = values
            elif name in numbers:
                found[name] = _number(name, values[0])
            elif name in booleans:
                found[name] = _boolean(name, values[0])
            else:
                found[name] = values[0]
        return Fields(found)

    def numbers(self, name: str, low: float, high: float, *, max_items: int) -> list[float]:
        """Returns the values of a parameter that may come often, each in (low, high].

        Raises:
            ApiError: 400.
        """
        values = self._values.pop(name, [])
        if len(values) > max_items:
            raise bad_request(
                f"{name} may come at most {max_items} times, got {len(values)}", param=name
            )
        numbers = []
        for value in values:
            number = Fields({name: _number(name, value)}).number(name, low, high, above_low=True)
            numbers.append(0.0 if number is None else number)
        return numbers


def _number(name: str, text: str) -> int | float:
    with _refused(name, "a number", text):
        if len(text) > _MAX_DIGITS or "_" in text or text != text.strip():
            raise ValueError
        return int(text) if text.lstrip("-").isdecimal() else float(text)


def _boolean(name: str, text: str) -> bool:
    with _refused(name, "true or false", text):
        return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


@contextmanager
def _refused(name: str, wanted: str, text: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError) as error:
        raise bad_request(
            f"{name} must be {wanted}, got {text[:_MAX_DIGITS]!r}", param=name, code="invalid_type"
        ) from error
