"""Versions are immutable, content-addressed, signed, and complete or not there."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from nacl.signing import SigningKey

from arenalab.atomic import Span
from arenalab.dataset import DatasetStore, DatasetVersion
from arenalab.mesh import DataLossError, InvalidInputError, NotFoundError, Reason
from arenalab.testing.spans import make_span

KEY = SigningKey(bytes(32))
FILES = ("manifest.json", "spans.ndjson.zst", "embeddings.npy", "calibration.json")

Write = Callable[..., DatasetVersion]


def test_what_was_written_is_read_back(write: Write, store: DatasetStore) -> None:
    sealed = write()
    version = store.open("default", "faq", sealed.manifest.version)
    version.verify(bytes(KEY.verify_key))
    assert [span.this for span in version.spans()] == [f"question {n}" for n in range(7)]
    assert version.embeddings().tolist() == np.arange(28.0).reshape(7, 4).tolist()
    assert version.calibration() == b'{"model":"none"}'
    assert version.manifest == sealed.manifest
    assert (version.manifest.counts.spans, version.manifest.counts.outcomes) == (7, 3)
    assert version.manifest.domains == {"": 4, "a": 3}
    assert version.manifest.first_when == version.manifest.last_when == "2026-01-05T10:00:00Z"


def test_views_are_part_of_the_version_where_there_are_any(
    write: Write, store: DatasetStore
) -> None:
    without, sealed = write(), write(views=b"arrays")
    assert without.views() == b""
    assert sealed.manifest.version != without.manifest.version
    version = store.open("default", "faq", sealed.manifest.version)
    version.verify()
    assert version.views() == b"arrays"
    assert version.manifest.files[-1].name == "calibration.npz"
    (version.path / "calibration.npz").write_bytes(b"arroys")
    for read in (version.views, version.verify):
        with pytest.raises(DataLossError, match=r"calibration\.npz"):
            read()
    (version.path / "calibration.npz").unlink()
    with pytest.raises(DataLossError):
        version.views()


def test_the_same_content_is_the_same_version_at_another_time(
    write: Write, store: DatasetStore
) -> None:
    first = write(build_time="2026-01-01T00:00:00Z")
    second = write(build_time="2026-02-01T00:00:00Z")
    assert first.manifest == second.manifest
    assert store.versions("default", "faq") == [first.manifest.version]


def test_other_content_is_another_version_and_the_newest_is_first(
    write: Write, store: DatasetStore
) -> None:
    old = write(build_time="2026-01-01T00:00:00Z").manifest.version
    new = write([make_span("other", "thing")], build_time="2026-02-01T00:00:00Z").manifest.version
    assert store.versions("default", "faq") == [new, old]
    assert store.names("default") == ["faq"]
    assert store.names("another") == store.versions("default", "unknown") == []


@pytest.mark.parametrize("file", FILES)
def test_a_flipped_bit_in_any_file_is_found_and_named(
    write: Write, store: DatasetStore, file: str
) -> None:
    path = write().path
    data = bytearray((path / file).read_bytes())
    data[len(data) // 2] ^= 1
    (path / file).write_bytes(data)
    with pytest.raises(DataLossError) as caught:
        store.open("default", "faq", path.name).verify()
    assert caught.value.reason is Reason.CORRUPT_DATASET
    assert caught.value.metadata == {"file": file}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("keep", [0, 0.6, None])
def test_a_short_or_missing_file_is_found_and_named(
    write: Write, store: DatasetStore, file: str, keep: float | None
) -> None:
    path = write().path
    if keep is None:
        (path / file).unlink()
    else:
        os.truncate(path / file, int((path / file).stat().st_size * keep))
    with pytest.raises(DataLossError) as caught:
        store.open("default", "faq", path.name).verify()
    assert caught.value.metadata == {"file": file}


@pytest.mark.parametrize("keep", [0, 0.6])
def test_reading_damaged_spans_fails_even_without_verify(write: Write, keep: float) -> None:
    version = write()
    path = version.path / "spans.ndjson.zst"
    os.truncate(path, int(path.stat().st_size * keep))
    with pytest.raises(DataLossError) as caught:
        list(version.spans())
    assert caught.value.metadata == {"file": "spans.ndjson.zst"}


def test_a_version_signed_by_a_stranger_is_refused(write: Write) -> None:
    version = write()
    version.verify()
    with pytest.raises(DataLossError, match="not trusted"):
        version.verify(bytes(SigningKey(bytes([1] * 32)).verify_key))


def test_a_manifest_that_was_edited_and_signed_anew_does_not_fit_its_files(
    write: Write, store: DatasetStore
) -> None:
    version = write()
    form = json.loads((version.path / "manifest.json").read_bytes())
    form["files"][0]["size"] += 1
    (version.path / "manifest.json").write_text(json.dumps(form))
    edited = store.open("default", "faq", version.manifest.version).manifest.signed(KEY)
    (version.path / "manifest.json").write_bytes(edited.to_bytes())
    with pytest.raises(DataLossError, match="Merkle root"):
        store.open("default", "faq", version.manifest.version).verify(bytes(KEY.verify_key))


@pytest.mark.parametrize(
    "manifest",
    [b"", b"[]", b"{}", b'{"format":2}', b"\xff", b"[" * 100_000, b'{"format":1,"counts":7}'],
)
def test_what_is_no_manifest_is_refused(write: Write, store: DatasetStore, manifest: bytes) -> None:
    version = write()
    (version.path / "manifest.json").write_bytes(manifest)
    with pytest.raises(DataLossError) as caught:
        store.open("default", "faq", version.manifest.version)
    assert caught.value.metadata == {"file": "manifest.json"}
    assert store.versions("default", "faq") == [version.manifest.version]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("counts", {"spans": "7", "outcomes": 3}),
        ("files", [{"name": "../secret", "size": 1, "blake3": ""}]),
        ("domains", []),
        ("settings", {"alpha": "x", "delta": 0.05, "min_quality": 60, "max_per_domain": 0}),
        ("name", "other"),
    ],
)
def test_a_manifest_with_a_wrong_field_is_refused(
    write: Write, store: DatasetStore, field: str, value: object
) -> None:
    version = write()
    form = json.loads((version.path / "manifest.json").read_bytes())
    form[field] = value
    (version.path / "manifest.json").write_text(json.dumps(form))
    with pytest.raises(DataLossError):
        store.open("default", "faq", version.manifest.version)


def test_a_damaged_version_is_replaced_when_it_is_made_again(write: Write) -> None:
    version = write()
    (version.path / "embeddings.npy").write_bytes(b"gone")
    again = write()
    again.verify()
    assert again.manifest.version == version.manifest.version


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "a/b", "A", ".staging-00", "a" * 65, "a\n", "ä"]
)
def test_a_name_that_is_no_folder_of_ours_is_refused(store: DatasetStore, name: str) -> None:
    with pytest.raises(InvalidInputError):
        store.versions("default", name)
    with pytest.raises(InvalidInputError):
        store.versions(name, "faq")
    with pytest.raises(InvalidInputError):
        store.open("default", "faq", name)
    with pytest.raises(InvalidInputError):
        store.open_staging("default", "faq", name)
    with pytest.raises(InvalidInputError), store.staging("default", name):
        pass


def test_what_is_not_there_is_unknown(write: Write, store: DatasetStore) -> None:
    write()
    for missing in (
        lambda: store.open("default", "faq", "0" * 64),
        lambda: store.open("another", "faq", "0" * 64),
        lambda: store.open_staging("default", "faq", ".staging-" + "0" * 16),
    ):
        with pytest.raises(NotFoundError) as caught:
            missing()
        assert caught.value.reason is Reason.UNKNOWN_DATASET
        assert caught.value.metadata == {"dataset": "faq"}


def test_a_staged_version_can_be_read_before_it_is_sealed(store: DatasetStore) -> None:
    with store.staging("default", "faq") as staging:
        staging.write_spans([make_span("a", "b")])
        staging.write_embeddings([np.ones((1, 3), np.float32)], rows=1, dimension=3)
        staged = store.open_staging("default", "faq", staging.name)
        assert [span.if_ok for span in staged.spans()] == ["b"]
        assert staged.embeddings().shape == (1, 3)
    assert store.names("default") == []


def test_vectors_of_another_shape_than_announced_are_refused(store: DatasetStore) -> None:
    block = np.ones((2, 3), np.float32)
    for rows, dimension in ((3, 3), (2, 4)):
        with store.staging("default", "faq") as staging, pytest.raises(ValueError, match="must"):
            staging.write_embeddings([block], rows=rows, dimension=dimension)


def test_left_overs_of_a_crash_are_nobodys_version_and_go_with_the_next_publication(
    write: Write, store: DatasetStore, tmp_path: Path
) -> None:
    version = write().manifest.version
    left = tmp_path / "default/faq/.staging-0123456789abcdef"
    left.mkdir()
    (left / "manifest.json").write_bytes(b"{")
    assert store.versions("default", "faq") == [version]
    assert store.names("default") == ["faq"]
    write([make_span("other", "thing")])
    assert not left.exists()
    store.open("default", "faq", version).verify()


def test_a_failed_write_keeps_the_versions_there_and_leaves_nothing(
    write: Write, store: DatasetStore, tmp_path: Path
) -> None:
    version = write().manifest.version

    def broken() -> Iterator[Span]:
        yield make_span("a", "b")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="space"), store.staging("default", "faq") as staging:
        staging.write_spans(broken())
    assert [path.name for path in (tmp_path / "default/faq").iterdir()] == [version]


def test_the_folder_is_renamed_only_when_everything_in_it_is_on_disk(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real_fsync = os.fsync

    def recording(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recording)
    path = write().path
    assert set(synced[:4]) == {(path / file).stat().st_ino for file in FILES}
    # Its entries before the rename, and the rename itself.
    assert synced[4:6] == [path.stat().st_ino, path.parent.stat().st_ino]
