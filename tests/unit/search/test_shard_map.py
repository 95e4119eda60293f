"""The shard that a replica of search serves."""

import json
from pathlib import Path

import pytest

from arenalab.mesh import ConfigError, InvalidInputError
from arenalab.search.shard_map import OwnShard, read_own_shard

_MAP = {
    "version": 7,
    "shards": [
        {"name": "bank", "addresses": ["h:1"], "domains": ["banking"]},
        {"name": "travel", "addresses": ["h:2"], "domains": ["travel"]},
    ],
}


def written(folder: Path, content: object = _MAP) -> Path:
    path = folder / "shards.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def bank(tmp_path: Path) -> OwnShard:
    shard = read_own_shard(written(tmp_path), "bank")
    assert shard is not None
    return shard


def test_a_replica_without_settings_is_part_of_no_map() -> None:
    assert read_own_shard(None, None) is None


def test_a_shard_keeps_its_own_domains(bank: OwnShard) -> None:
    kept = [bank.keeps("default", domain) for domain in ("banking", "banking/cards", "travel", "x")]
    assert kept == [True, True, False, False]


def test_spans_of_its_own_are_taken(bank: OwnShard) -> None:
    bank.check("default", ["banking", "banking/cards"])


def test_a_refusal_names_the_owner_and_the_map(bank: OwnShard) -> None:
    with pytest.raises(
        InvalidInputError, match="'travel' is held by shard travel, this is bank"
    ) as e:
        bank.check("default", ["banking", "travel"])
    assert e.value.metadata == {
        "field": "spans[1].context.environment", "owner": "travel", "shard_map_version": "7",
    }  # fmt: skip


def test_a_domain_of_no_shard_is_refused(bank: OwnShard) -> None:
    with pytest.raises(InvalidInputError, match="no shard holds the domain 'weather'"):
        bank.check("default", ["weather"])


@pytest.mark.parametrize("name", ["bank", None])
def test_file_and_name_belong_together(tmp_path: Path, name: str | None) -> None:
    path = None if name else written(tmp_path)
    with pytest.raises(ConfigError, match="must be set together"):
        read_own_shard(path, name)


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SEARCH_SHARD must be one of bank, travel, got 'cards'"):
        read_own_shard(written(tmp_path), "cards")


def test_a_wrong_map_is_refused_with_its_rule(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"shards\.json: shards must be 1 to 256"):
        read_own_shard(written(tmp_path, {"version": 1}), "bank")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SEARCH_SHARD_MAP"):
        read_own_shard(tmp_path / "none.json", "bank")
