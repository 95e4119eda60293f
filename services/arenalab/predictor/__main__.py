"""Runs Predictor: `python -m arenalab.predictor`."""

from arenalab.mesh import run
from arenalab.predictor.config import PredictorConfig
from arenalab.predictor.wiring import running_predictor


def main() -> None:
    run("predictor", PredictorConfig, running_predictor)


if __name__ == "__main__":
    main()
