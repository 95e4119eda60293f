import logging
from pathlib import Path

import numpy as np
import pytest

from arenalab.predictor.artefact import Artefact, Basis, Pairs, Summary, dump_artefact
from arenalab.predictor.overrides import Overrides

VERSION = "a" * 64
ARTEFACT = Artefact(
    None,
    Pairs(np.array([0.5]), np.array([True]), np.array([0.0]), ("a",)),
    Summary(0, 0.0, 0.0, ()),
    Basis.LABELLED_TRAFFIC,
    0.1,
    0.2,
    0.9,
)


def test_a_stored_calibration_is_loaded_again(tmp_path: Path) -> None:
    overrides = Overrides(tmp_path)
    assert overrides.load("acme", "faq", VERSION) is None
    overrides.save("acme", "faq", VERSION, ARTEFACT)
    overrides.save("acme", "faq", VERSION, ARTEFACT)
    loaded = Overrides(tmp_path).load("acme", "faq", VERSION)
    assert loaded is not None
    assert dump_artefact(loaded) == dump_artefact(ARTEFACT)
    assert overrides.load("other", "faq", VERSION) is None
    folder = tmp_path / "calibration" / "acme" / "faq"
    assert [path.name for path in folder.iterdir()] == [f"{VERSION}.json"]


def test_a_damaged_one_is_reported_and_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    overrides = Overrides(tmp_path)
    overrides.save("acme", "faq", VERSION, ARTEFACT)
    (tmp_path / "calibration" / "acme" / "faq" / f"{VERSION}.json").write_bytes(b"{")
    with caplog.at_level(logging.WARNING):
        assert overrides.load("acme", "faq", VERSION) is None
    assert "is not used" in caplog.text
