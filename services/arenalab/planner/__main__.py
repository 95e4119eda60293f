"""Runs Planner: `python -m arenalab.planner`."""

from arenalab.mesh import run
from arenalab.planner.config import PlannerConfig
from arenalab.planner.wiring import running_planner


def main() -> None:
    run("planner", PlannerConfig, running_planner)


if __name__ == "__main__":
    main()
