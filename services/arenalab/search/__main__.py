"""Runs Search: `python -m arenalab.search`."""

import sys
from typing import Final

from arenalab.mesh import run
from arenalab.search.config import SearchConfig
from arenalab.search.wiring import running_search

# How long a thread that works in Python keeps a reader waiting. With Python's 5 ms, the
# slowest reads beside 2,000 additions a second took 3.2 to 5.2 times as long as alone, with
# 0.2 ms 1.9 to 2.1 times, and as many additions were taken.
SWITCH_INTERVAL_S: Final = 0.0002


def main() -> None:
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    run("search", SearchConfig, running_search)


if __name__ == "__main__":
    main()
