"""Search's settings: a bad value stops the start."""

from pathlib import Path

import pytest

from arenalab.mesh import ConfigError, read_config
from arenalab.search.config import SearchConfig


def test_settings_come_from_the_environment() -> None:
    env = {
        "SEARCH_STORE_PATH": "/data/spans.sqlite",
        "SEARCH_EXACT_LIMIT": "100",
        "SEARCH_WORKERS": "1",
        "SEARCH_DATASET_PUBLIC_KEY": "/keys/dataset.pub",
    }
    config = read_config(SearchConfig, "search", env)
    assert config.store_path == Path("/data/spans.sqlite")
    assert config.exact_limit == 100
    assert config.dataset_public_key == Path("/keys/dataset.pub")
    assert config.workers_of(8) == 1


def test_there_is_at_most_one_worker_a_core() -> None:
    assert SearchConfig().workers_of(3) == 3
    assert SearchConfig(workers=64).workers_of(3) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("workers", 0), ("exact_limit", -1), ("delta_limit", -1), ("queue_limit", -1)],
)
def test_a_value_outside_its_range_is_refused(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"SEARCH_{name.upper()}"):
        SearchConfig(**{name: value})  # type: ignore[arg-type]


def test_a_builder_of_graphs_that_is_not_known_is_refused() -> None:
    with pytest.raises(ConfigError, match="SEARCH_GRAPH must be one of"):
        SearchConfig(graph="annoy")
