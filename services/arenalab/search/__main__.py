"""Runs Search: `python -m arenalab.search`."""

import sys
from typing import Final

from arenalab.mesh import run
from arenalab.search.config import SearchConfig
from arenalab.search.wiring import running_search

# How long a thread that works in Python keeps a reader waiting. The slowest reads beside
# 2,000 additions a second took 3.2 and 5.2 times as long as alone with Python's 5 ms, 2.1 and
# 4.4 times with 1 ms. With 0.2 ms it was 1.9 and 2.1, but 16 readers were served more slowly.
SWITCH_INTERVAL_S: Final = 0.001


def main() -> None:
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    run("search", SearchConfig, running_search)


if __name__ == "__main__":
    main()
