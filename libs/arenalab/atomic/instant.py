"""Instants in UTC: RFC 3339 text on one side, whole nanoseconds on the other.

The canonical text ends in "Z" and carries a fraction only when it is not zero,
with 3, 6 or 9 digits, whichever is the first to hold it: what protobuf's JSON
mapping writes for a Timestamp. One instant has one canonical text, so the content
hash of a span does not depend on who wrote it down.
"""

import re
from datetime import datetime, timedelta
from typing import Final

from arenalab.atomic.errors import SpanError, shown

NS_PER_S: Final = 1_000_000_000
# The bounds of google.protobuf.Timestamp: 0001-01-01T00:00:00 and 9999-12-31T23:59:59.
MIN_SECONDS: Final = -62_135_596_800
MAX_SECONDS: Final = 253_402_300_799

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - all arithmetic here is in UTC
# Hour 24 and second 60 are left out: the first is not RFC 3339, and a leap second
# has no place on a scale of 86,400 s a day.
_CLOCK: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_RFC_3339: Final = re.compile(
    rf"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})[Tt]({_CLOCK})(?:\.([0-9]{{1,9}}))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
_WHOLE_SECOND: Final = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T{_CLOCK}Z")


def canonical_when(text: str, field: str = "when") -> str:
    """Returns the canonical form of an RFC 3339 date and time with any offset.

    Raises:
        SpanError: The text is not RFC 3339, names no day of the calendar, has more
            than nine digits of fraction, or lies outside the years 0001 to 9999.
    """
    if isinstance(text, str) and _WHOLE_SECOND.fullmatch(text):
        _seconds(text[:19], text, field)  # the shape is canonical; the day must exist
        return text
    return _format(*split_when(text, field))


def split_when(text: str, field: str = "when") -> tuple[int, int]:
    """Returns the whole seconds since the epoch and the nanoseconds after them.

    Raises:
        SpanError: As for `canonical_when`.
    """
    found = _RFC_3339.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise _refusal(text, field)
    day, clock, fraction, sign, hours, minutes = found.groups()
    seconds = _seconds(f"{day}T{clock}", text, field)
    if sign:
        ahead = int(hours) * 3600 + int(minutes) * 60
        seconds -= ahead if sign == "+" else -ahead
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise _refusal(text, field)
    return seconds, int(fraction.ljust(9, "0")) if fraction else 0


def when_from_ns(ns: int) -> str:
    """Returns the canonical text of an instant in nanoseconds since the epoch.

    Raises:
        SpanError: The instant lies outside the years 0001 to 9999.
    """
    return when_from_parts(*divmod(ns, NS_PER_S))


def when_from_parts(seconds: int, nanos: int, field: str = "when") -> str:
    """Returns the canonical text of a Timestamp's two numbers.

    Raises:
        SpanError: They are outside what a Timestamp may hold.
    """
    if not (MIN_SECONDS <= seconds <= MAX_SECONDS and 0 <= nanos < NS_PER_S):
        raise SpanError(
            field,
            f"{field} must lie in the years 0001 to 9999 with nanoseconds in [0, 999999999],"
            f" got {seconds} s and {nanos} ns since the epoch",
        )
    return _format(seconds, nanos)


def _seconds(local: str, text: str, field: str) -> int:
    try:
        since = datetime.fromisoformat(local) - _EPOCH
    except ValueError as error:
        raise _refusal(text, field) from error
    return since.days * 86_400 + since.seconds


def _format(seconds: int, nanos: int) -> str:
    text = (_EPOCH + timedelta(seconds=seconds)).isoformat()
    if not nanos:
        return f"{text}Z"
    if nanos % 1_000_000 == 0:
        return f"{text}.{nanos // 1_000_000:03d}Z"
    if nanos % 1_000 == 0:
        return f"{text}.{nanos // 1_000:06d}Z"
    return f"{text}.{nanos:09d}Z"


def _refusal(text: object, field: str) -> SpanError:
    return SpanError(
        field,
        f"{field} must be an RFC 3339 date and time with an offset, in the years 0001 to 9999"
        f" and with at most 9 digits of fraction, got {shown(text)}",
    )
