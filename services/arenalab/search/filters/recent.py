"""What was used lately, by key."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from contextlib import suppress
from typing import Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class Recent(Generic[_K, _V]):
    """The values that were used last, at most `limit`; any thread may use it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[_K, _V] = OrderedDict()

    def __contains__(self, key: _K) -> bool:
        """Returns whether there is a value, without counting that as a use."""
        return key in self._values

    def __getitem__(self, key: _K) -> _V:
        value = self._values[key]
        # Each step is atomic; between two, another thread may have dropped the key.
        with suppress(KeyError):
            self._values.move_to_end(key)
        return value

    def __setitem__(self, key: _K, value: _V) -> None:
        self._values[key] = value
        with suppress(KeyError):
            while len(self._values) > self._limit:
                self._values.popitem(last=False)

    def values(self) -> Iterable[_V]:
        """Returns the values, without counting that as a use."""
        return list(self._values.values())
