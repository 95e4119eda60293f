"""Whether the planner chooses well: `make bench-planner`.

Times every way of searching over real indexes beside the one that is chosen.
ARGS: --cases, --seed, --vectors.
"""

import runpy
from pathlib import Path

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).with_name("search") / "planner.py"), run_name="__main__")
