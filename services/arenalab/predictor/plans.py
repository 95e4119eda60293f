"""Plans that were made a moment ago, kept for the questions that come with it.

A plan says how to search, never what is found: one that is a second old is as good, and
search counts, probes and scans for itself where it no longer fits.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from arenalab.api.common.v1 import plan_pb2

FRESH_S: Final = 1.0
# Different searches remembered; each takes about a kilobyte.
_MOST: Final = 1024


class KeptPlans:
    """Plans by the bytes of their request. Belongs to one event loop."""

    def __init__(self, clock: Callable[[], float], fresh_s: float = FRESH_S) -> None:
        """Starts empty.

        Args:
            clock: Seconds that never go back.
            fresh_s: How long a plan is kept.
        """
        self._clock = clock
        self._fresh_s = fresh_s
        self._kept: OrderedDict[bytes, tuple[float, plan_pb2.QueryPlan]] = OrderedDict()

    def get(self, request: bytes) -> plan_pb2.QueryPlan | None:
        """Returns the plan of a request, None for one that is not there or too old."""
        until, plan = self._kept.get(request, (0.0, None))
        return plan if plan is not None and self._clock() < until else None

    def put(self, request: bytes, plan: plan_pb2.QueryPlan) -> None:
        """Keeps a plan."""
        self._kept[request] = (self._clock() + self._fresh_s, plan)
        self._kept.move_to_end(request)
        if len(self._kept) > _MOST:
            self._kept.popitem(last=False)
