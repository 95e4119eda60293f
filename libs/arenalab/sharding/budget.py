"""The time of a call that is made of several."""

import asyncio

from arenalab.mesh import DeadlineError


class Budget:
    """Counts down from when it is made."""

    def __init__(self, seconds: float) -> None:
        self._ends = asyncio.get_running_loop().time() + seconds

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left."""
        return self._left() <= 0

    def left_s(self) -> float:
        """Returns the seconds that are left.

        Raises:
            DeadlineError: None are.
        """
        left_s = self._left()
        if left_s <= 0:
            raise DeadlineError("the time given to the call is spent")
        return left_s

    def _left(self) -> float:
        return self._ends - asyncio.get_running_loop().time()
