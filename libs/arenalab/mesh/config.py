"""Settings read once, at start, from the environment."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final, TypeVar, get_type_hints

_T = TypeVar("_T")
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


class ConfigError(ValueError):
    """A setting is missing, does not parse, or is out of range."""


def read_config(cls: type[_T], prefix: str, env: Mapping[str, str]) -> _T:
    """Builds the dataclass `cls`; the variable of field `x` is `PREFIX_X`.

    Fields may be str, int, float, bool, Path, tuple[str, ...] (comma-separated) or
    one of these or None. An absent variable keeps the field's default.

    Raises:
        ConfigError: A value does not parse; the message names the variable.
    """
    hints = get_type_hints(cls)
    values = {}
    for field in fields(cls):  # type: ignore[arg-type]  # every config is a dataclass
        variable = f"{prefix}_{field.name}".upper()
        if variable in env:
            values[field.name] = _parse(variable, env[variable], hints[field.name])
    return cls(**values)


def _parse(variable: str, text: str, kind: Any) -> object:
    kinds = getattr(kind, "__args__", (kind,)) if kind != tuple[str, ...] else (kind,)
    if text == "" and type(None) in kinds:
        return None
    wanted = next(k for k in kinds if k is not type(None))
    if wanted == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if wanted is bool:
        return _parse_bool(variable, text)
    try:
        return wanted(text)
    except ValueError as error:
        raise ConfigError(f"{variable} must be {wanted.__name__}, got {text!r}") from error


def _parse_bool(variable: str, text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ConfigError(f"{variable} must be one of true, false, got {text!r}")


def address_of(port: int, host: str = "127.0.0.1") -> str:
    """Returns "host:port"."""
    return f"{host}:{port}"
