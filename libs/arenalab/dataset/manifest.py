"""The manifest: what a dataset version is, and who says so.

The version is the hash of what decides the answers: the owner, the settings, the
embedder and every file. The time of the build and the signature are left out, so
building the same data again gives the same version.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from blake3 import blake3
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from arenalab.atomic import JSON, canonical_json
from arenalab.dataset.names import FILES, MANIFEST_FILE, OPTIONAL_FILES
from arenalab.mesh import DataLossError, Reason
from arenalab.proof import MerkleTree, leaf_hash

FORMAT: Final = 1


@dataclass(frozen=True)
class Counts:
    """How much a version holds."""

    spans: int
    outcomes: int  # different ones


@dataclass(frozen=True)
class Embedder:
    """Whose vectors a version holds."""

    id: str
    digest: str
    dimension: int


@dataclass(frozen=True)
class FileEntry:
    """One file of a version."""

    name: str
    size: int  # bytes
    blake3: str  # hexadecimal


@dataclass(frozen=True)
class Settings:
    """How the version was built from its working set."""

    alpha: float  # default risk, in (0, 0.5]
    delta: float  # default failure probability, in (0, 0.5]
    min_quality: float  # in [0, 100]
    max_per_domain: int  # 0: no cap


@dataclass(frozen=True)
class Manifest:
    """Everything that is known of a version without opening its other files."""

    tenant: str
    name: str
    version: str  # 64 hex digits
    counts: Counts
    domains: Mapping[str, int]  # spans by domain; "" for none
    first_when: str
    last_when: str
    embedder: Embedder
    settings: Settings
    files: tuple[FileEntry, ...]
    merkle_root: str
    quality: Mapping[str, JSON]  # the meter's summary
    calibration: Mapping[str, JSON]  # the calibration's summary
    build_time: str
    public_key: str  # Ed25519, hexadecimal
    signature: str = ""  # Ed25519 over the canonical JSON without this field, hexadecimal

    @property
    def embedder_id(self) -> str:
        return self.embedder.id

    @property
    def embedder_digest(self) -> str:
        return self.embedder.digest

    @property
    def dimension(self) -> int:
        return self.embedder.dimension

    def file(self, name: str) -> FileEntry:
        """Returns the entry of one file.

        Raises:
            DataLossError: The manifest does not name it.
        """
        for entry in self.files:
            if entry.name == name:
                return entry
        raise corrupt(MANIFEST_FILE, f"the manifest does not name {name}")

    def signed(self, key: SigningKey) -> Self:
        """Returns this manifest with the public key and the signature of `key`."""
        named = replace(self, public_key=bytes(key.verify_key).hex(), signature="")
        return replace(named, signature=key.sign(named.signed_bytes()).signature.hex())

    def check_signature(self, trusted_public_key: bytes | None) -> None:
        """Checks the signature, and that it is by the key one trusts, if one is given.

        Raises:
            DataLossError: It is not.
        """
        key = _unhex(self.public_key)
        if trusted_public_key is not None and key != trusted_public_key:
            raise corrupt(MANIFEST_FILE, "the manifest is signed by a key that is not trusted")
        try:
            VerifyKey(key).verify(self.signed_bytes(), _unhex(self.signature))
        except (BadSignatureError, ValueError, TypeError) as error:
            raise corrupt(MANIFEST_FILE, "the signature does not fit the manifest") from error

    def check_identity(self) -> None:
        """Checks that version and Merkle root are those of the content.

        Raises:
            DataLossError: They are not.
        """
        if self.merkle_root != merkle_root(self.files):
            raise corrupt(MANIFEST_FILE, "the Merkle root does not fit the files")
        expected = version_of(self.tenant, self.name, self.files, self.embedder, self.settings)
        if self.version != expected:
            raise corrupt(MANIFEST_FILE, "the version does not fit the content")

    def to_bytes(self) -> bytes:
        """Returns the manifest as it lies on disk."""
        return canonical_json(self._form())

    def signed_bytes(self) -> bytes:
        """Returns what the signature is over: all but the signature."""
        form = self._form()
        del form["signature"]
        return canonical_json(form)

    def _form(self) -> dict[str, JSON]:
        return {
            "format": FORMAT,
            "tenant": self.tenant,
            "name": self.name,
            "version": self.version,
            "counts": _plain(self.counts),
            "domains": dict(self.domains),
            "first_when": self.first_when,
            "last_when": self.last_when,
            "embedder": _plain(self.embedder),
            "settings": _plain(self.settings),
            "files": [_plain(entry) for entry in self.files],
            "merkle_root": self.merkle_root,
            "quality": dict(self.quality),
            "calibration": dict(self.calibration),
            "build_time": self.build_time,
            "public_key": self.public_key,
            "signature": self.signature,
        }


def parse_manifest(data: bytes) -> Manifest:
    """Returns the manifest of its bytes; the signature is not checked.

    Raises:
        DataLossError: The bytes are not a manifest of this format.
    """
    try:
        form = json.loads(data)
        number = form.pop("format")
        if number != FORMAT:
            raise corrupt(MANIFEST_FILE, f"format must be {FORMAT}, got {number!a}")
        form["counts"] = Counts(**form["counts"])
        form["embedder"] = Embedder(**form["embedder"])
        form["settings"] = Settings(**form["settings"])
        form["files"] = tuple(FileEntry(**entry) for entry in form["files"])
        manifest = Manifest(**form)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise corrupt(MANIFEST_FILE, "the manifest cannot be read") from error
    # Unusual types (a text for a number) would surface far from here.
    _check_types(manifest)
    return manifest


def version_of(
    tenant: str, name: str, files: Sequence[FileEntry], embedder: Embedder, settings: Settings
) -> str:
    """Returns the version, 64 hex digits, of what decides a dataset's answers."""
    content: dict[str, JSON] = {
        "format": FORMAT,
        "tenant": tenant,
        "name": name,
        "files": [_plain(entry) for entry in files],
        "embedder": _plain(embedder),
        "settings": _plain(settings),
    }
    return blake3(canonical_json(content)).hexdigest()


def merkle_root(files: Sequence[FileEntry]) -> str:
    """Returns the root over the canonical file entries, in hexadecimal."""
    tree = MerkleTree()
    for entry in files:
        tree.append(leaf_hash(canonical_json(_plain(entry))))
    return tree.root().hex()


def corrupt(file: str, message: str) -> DataLossError:
    """Returns the error for a damaged or missing file of a version."""
    return DataLossError(f"{file}: {message}", Reason.CORRUPT_DATASET, file=file)


def _plain(value: Counts | Embedder | FileEntry | Settings) -> dict[str, JSON]:
    return dict(vars(value))


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise corrupt(MANIFEST_FILE, "a key or signature is not hexadecimal") from error


def _check_types(manifest: Manifest) -> None:
    settings = manifest.settings
    texts: list[Any] = [
        *(manifest.tenant, manifest.name, manifest.version, manifest.build_time),
        *(manifest.first_when, manifest.last_when, manifest.merkle_root),
        *(manifest.public_key, manifest.signature, manifest.embedder.id, manifest.embedder.digest),
        *(entry.blake3 for entry in manifest.files),
    ]
    counts: list[Any] = [
        *(manifest.counts.spans, manifest.counts.outcomes, manifest.embedder.dimension),
        *(entry.size for entry in manifest.files),
    ]
    numbers: list[Any] = [settings.alpha, settings.delta, settings.min_quality]
    maps: list[Any] = [manifest.domains, manifest.quality, manifest.calibration]
    if not (
        all(isinstance(text, str) for text in texts)
        and all(type(count) is int and count >= 0 for count in [*counts, settings.max_per_domain])
        and all(type(number) in (int, float) for number in numbers)
        and all(isinstance(form, dict) for form in maps)
        and all(entry.name in (*FILES, *OPTIONAL_FILES) for entry in manifest.files)
    ):
        raise corrupt(MANIFEST_FILE, "a field of the manifest has the wrong type")
