"""Runs Curator: `python -m arenalab.curator`."""

from arenalab.curator.config import CuratorConfig
from arenalab.curator.wiring import running_curator
from arenalab.mesh import run


def main() -> None:
    run("curator", CuratorConfig, running_curator)


if __name__ == "__main__":
    main()
