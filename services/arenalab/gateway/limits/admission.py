"""How many requests are at work at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from arenalab.gateway.errors import ApiError


class Admission:
    """Bounds how many requests are at work at once; more are refused before any work."""

    def __init__(self, max_in_flight: int) -> None:
        self._max = max_in_flight
        self.in_flight = 0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Holds one slot for the length of the block.

        Raises:
            ApiError: 429; every slot is taken.
        """
        if self.in_flight >= self._max:
            raise ApiError(
                429,
                "rate_limit_exceeded",
                f"the gateway is at its limit of {self._max} requests at once; try again soon",
                retry_after_s=1,
            )
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
