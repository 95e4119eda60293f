"""Runs Ensemble: `python -m arenalab.ensemble`."""

from arenalab.ensemble.config import EnsembleConfig
from arenalab.ensemble.wiring import running_ensemble
from arenalab.mesh import run


def main() -> None:
    run("ensemble", EnsembleConfig, running_ensemble)


if __name__ == "__main__":
    main()
