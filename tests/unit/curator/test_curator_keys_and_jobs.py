"""The signing key is made once and read strictly; a dataset has one job at a time."""

import stat
from pathlib import Path

import pytest

from arenalab.curator.config import CuratorConfig
from arenalab.curator.jobs import Jobs
from arenalab.curator.keys import create_key, load_key, public_path
from arenalab.mesh import BusyError, ConfigError, PreconditionError, Reason


def test_a_key_is_private_and_has_its_public_half_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "keys/dataset.ed25519"
    create_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    public = bytes.fromhex(public_path(path).read_text())
    assert bytes(load_key(path).verify_key) == public
    with pytest.raises(FileExistsError):
        create_key(path)


@pytest.mark.parametrize("content", [None, b"", b"xyz", b"00" * 31, b"\xff" * 64])
def test_what_is_no_key_is_missing(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PreconditionError) as caught:
        load_key(path)
    assert caught.value.reason is Reason.MISSING_KEY
    assert caught.value.metadata == {"key": str(path)}


def test_a_dataset_has_one_job_at_a_time(tmp_path: Path) -> None:
    # Two of them, as two processes with one home would have.
    jobs, others = Jobs(tmp_path), Jobs(tmp_path)
    with jobs.exclusive("ingest", "default", "faq"):
        with (
            pytest.raises(BusyError) as caught,
            others.exclusive("publish", "default", "faq"),
        ):
            pass
        assert caught.value.metadata == {"job": "publish", "dataset": "faq"}
        with others.exclusive("publish", "default", "other"):
            pass
        with others.exclusive("publish", "another", "faq"):
            pass
    with others.exclusive("publish", "default", "faq"):
        pass


def test_a_time_limit_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="CURATOR_TRAIN_TIMEOUT_S must be > 0"):
        CuratorConfig(train_timeout_s=0)
