"""How Search is run: read once, at start, from the environment."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from arenalab.mesh import ConfigError, address_of, ports
from arenalab.search.embedder.factory import DEFAULT_SPEC
from arenalab.search.upkeep import DEFAULT_DELTA_LIMIT

GRAPHS: Final = ("faiss", "hnswlib")


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Settings of one Search process. The variable of `x` is `SEARCH_X`."""

    address: str = address_of(ports.SEARCH)
    store_path: Path = Path("search/spans.sqlite")
    datasets_dir: Path = Path("datasets")  # the dataset store, written by curator
    dataset_public_key: Path | None = None  # of the one key that may sign; None: any
    embedder: str = DEFAULT_SPEC  # see `open_embedder`
    exact_limit: int = 20_000  # spans above which a collection gets a graph
    graph: str = "faiss"  # what builds graphs: "faiss", or "hnswlib" where that extra is
    delta_limit: int = DEFAULT_DELTA_LIMIT  # added spans above which they are merged
    workers: int | None = None  # searches at the same time; None: one a core, and at most that
    queue_limit: int = 256  # searches that may wait; one more is refused

    def __post_init__(self) -> None:
        for name in ("exact_limit", "delta_limit", "queue_limit"):
            if getattr(self, name) < 0:
                raise ConfigError(f"SEARCH_{name.upper()} must be >= 0")
        if self.graph not in GRAPHS:
            raise ConfigError(f"SEARCH_GRAPH must be one of {GRAPHS}, got {self.graph!r}")
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"SEARCH_WORKERS must be >= 1, got {self.workers}")

    def workers_of(self, cores: int = os.cpu_count() or 1) -> int:
        """Returns how many searches run at the same time on so many cores."""
        return min(self.workers or cores, cores)
