"""Typed reads of one JSON object of a request; each refuses what does not fit.

As in the OpenAI API, null means absent.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from arenalab.gateway.errors import ApiError, bad_request

_NAMES: Final = {
    bool: "a boolean",
    dict: "an object",
    float: "a number",
    int: "an integer",
    list: "an array",
    str: "a string",
    type(None): "null",
}


class Fields:
    """The members of one JSON object, with the object's place in the request."""

    def __init__(self, members: Mapping[str, Any], path: str = "") -> None:
        self._members = members
        self._path = path

    def at(self, name: str) -> str:
        """Returns a member's place in the request, e.g. "messages[0].role"."""
        return f"{self._path}.{name}" if self._path else name

    def get(self, name: str) -> Any:
        return self._members.get(name)

    def unknown(self, known: Collection[str]) -> list[str]:
        """Returns the names of members that are not known."""
        return [name for name in self._members if name not in known]

    def string(self, name: str, *, max_chars: int | None = None) -> str | None:
        value = self._typed(name, str)
        if value is not None and max_chars is not None and len(value) > max_chars:
            raise bad_request(
                f"{self.at(name)} must have at most {max_chars} characters, got {len(value)}",
                param=self.at(name),
                code="string_above_max_length",
            )
        return None if value is None else str(value)

    def required_string(self, name: str) -> str:
        value = self.string(name)
        if value is None:
            raise missing(self.at(name))
        return value

    def choice(self, name: str, allowed: Sequence[str]) -> str | None:
        value = self.string(name)
        if value is not None and value not in allowed:
            raise self.invalid(name, f"be one of {', '.join(map(repr, allowed))}", value)
        return value

    def boolean(self, name: str) -> bool | None:
        value = self._typed(name, bool)
        return None if value is None else bool(value)

    def integer(self, name: str, low: int, high: int) -> int | None:
        value = self._typed(name, int)
        if value is None:
            return None
        if not low <= value <= high:
            raise self.invalid(name, f"be in [{low}, {high}]", value)
        return int(value)

    def number(
        self, name: str, low: float, high: float, *, above_low: bool = False
    ) -> float | None:
        value = self._typed(name, float, int)
        if value is None:
            return None
        if not low <= value <= high or (above_low and value == low):
            raise self.invalid(name, f"be in {'(' if above_low else '['}{low:g}, {high:g}]", value)
        return float(value)

    def nested(self, name: str) -> "Fields | None":
        value = self._typed(name, dict)
        return None if value is None else Fields(value, self.at(name))

    def array(self, name: str) -> list[Any] | None:
        value: list[Any] | None = self._typed(name, list)
        return value

    def strings(self, name: str, *, max_items: int, max_chars: int) -> tuple[str, ...]:
        """Returns an array of non-empty strings; () when absent."""
        items = self.array(name) or []
        self._check_count(name, len(items), max_items)
        for n, item in enumerate(items):
            place = f"{self.at(name)}[{n}]"
            if not isinstance(item, str):
                raise wrong_type(place, item, str)
            if not 1 <= len(item) <= max_chars:
                raise bad_request(
                    f"{place} must have 1 to {max_chars} characters, got {len(item)}", param=place
                )
        return tuple(items)

    def _check_count(self, name: str, count: int, most: int) -> None:
        if count > most:
            raise bad_request(
                f"{self.at(name)} must have at most {most} items, got {count}",
                param=self.at(name),
                code="array_above_max_length",
            )

    def invalid(self, name: str, rule: str, value: object) -> ApiError:
        """Returns the error for a value that breaks a rule."""
        shown = repr(value)
        shown = shown if len(shown) <= 80 else f"{shown[:77]}..."  # noqa: PLR2004 - a line
        return bad_request(f"{self.at(name)} must {rule}, got {shown}", param=self.at(name))

    def _typed(self, name: str, *kinds: type) -> Any:
        value = self._members.get(name)
        # bool is an int to Python, never to JSON.
        if value is None or (
            isinstance(value, kinds) and (type(value) is not bool or bool in kinds)
        ):
            return value
        raise wrong_type(self.at(name), value, kinds[0])


def missing(place: str) -> ApiError:
    """Returns the error for a member that must be there."""
    return bad_request(f"{place} is required", param=place, code="missing_required_parameter")


def wrong_type(place: str, value: object, wanted: type) -> ApiError:
    """Returns the error for a member of another type."""
    return bad_request(
        f"{place} must be {_NAMES[wanted]}, got {_NAMES.get(type(value), 'another value')}",
        param=place,
        code="invalid_type",
    )


def object_at(place: str, value: object) -> Fields:
    """Returns the members of an array's item.

    Raises:
        ApiError: 400; it is not an object.
    """
    if not isinstance(value, dict):
        raise wrong_type(place, value, dict)
    return Fields(value, place)
