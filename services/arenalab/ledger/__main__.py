"""Runs Ledger: `python -m arenalab.ledger`."""

from arenalab.ledger.config import LedgerConfig
from arenalab.ledger.wiring import running_ledger
from arenalab.mesh import run


def main() -> None:
    run("ledger", LedgerConfig, running_ledger)


if __name__ == "__main__":
    main()
