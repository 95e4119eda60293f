"""Runs Search: `python -m arenalab.search`."""

from arenalab.mesh import run
from arenalab.search.config import SearchConfig
from arenalab.search.wiring import running_search


def main() -> None:
    run("search", SearchConfig, running_search)


if __name__ == "__main__":
    main()
