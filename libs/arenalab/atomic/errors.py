"""The one error of spans."""

from typing import Final

_SHOWN_CHARACTERS: Final = 60


class SpanError(ValueError):
    """A span, or the JSON or protobuf form of one, breaks a rule.

    Args:
        field: Dotted path of the field at fault, such as "context.stakes";
            "span" when the object as a whole is at fault.
        message: The rule and the value.
    """

    def __init__(self, field: str, message: str) -> None:
        # Both arguments stay in `args`, so that the error survives pickling
        # between the processes of a pool.
        super().__init__(field, message)
        self.field = field
        self.message = message

    def __str__(self) -> str:
        return self.message


def shown(value: object) -> str:
    """Returns `value` for an error message: escaped, and cut to a bounded length."""
    # Cut before repr: the value may be megabytes of text.
    if isinstance(value, str) and len(value) > _SHOWN_CHARACTERS:
        return f"{value[:_SHOWN_CHARACTERS]!a}… ({len(value):,} characters)"
    if isinstance(value, dict | list | tuple):
        return f"{type(value).__name__} of {len(value):,}"
    if isinstance(value, int) and value.bit_length() > _SHOWN_CHARACTERS:
        return f"an integer of {value.bit_length():,} bits"  # Python may refuse to print it
    text = ascii(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
