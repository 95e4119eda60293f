"""The signing key is made once, for its owner only, and its absence is said."""

import logging
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from arenalab.ledger.keys import create_signing_key, load_key_ring
from arenalab.mesh import PreconditionError, Reason

NOW = datetime(2026, 11, 28, tzinfo=UTC)


def test_a_key_that_was_made_loads(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "ledger.ed25519"
    create_signing_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first, second = (load_key_ring(path, "example.org/log", now=NOW) for _ in range(2))
    assert first.verifier_key == second.verifier_key
    assert str(first.verifier_key).startswith("example.org/log+")


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key"
    create_signing_key(path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        create_signing_key(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", [None, "", "zz", "00" * 31, "00" * 33, "\u00e9" * 64])
def test_a_key_that_is_missing_or_malformed_is_said_to_be(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "key"
    if text is not None:
        path.write_text(text)
    with pytest.raises(PreconditionError) as caught:
        load_key_ring(path, "example.org/log", now=NOW)
    assert caught.value.reason is Reason.MISSING_KEY
    assert caught.value.metadata == {"key": str(path)}


def test_a_key_that_others_can_read_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "key"
    create_signing_key(path)
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        load_key_ring(path, "example.org/log", now=NOW)
    assert "readable by others" in caplog.text
