"""A bounded memory: what is kept of each of the names that callers use."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Makes a value at the first use of a key; forgets the one that was used least recently."""

    def __init__(self, limit: int, make: Callable[[K], V]) -> None:
        self._limit = limit
        self._make = make
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V:
        """Returns the value of a key, new if it has none."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = self._values[key] = self._make(key)
        if len(self._values) > self._limit:
            self._values.popitem(last=False)
        return value

    def peek(self, key: K) -> V | None:
        """Returns the value of a key if it has one; that is no use of it."""
        return self._values.get(key)

    def items(self) -> Iterator[tuple[K, V]]:
        """Yields what is remembered, the least recently used first."""
        return iter(list(self._values.items()))

    def __len__(self) -> int:
        return len(self._values)
