"""The home: one directory with everything that a mesh on this machine keeps.

arenalab.toml      settings, for people to edit
keys/              Ed25519 seeds of the ledger and of datasets, API key hashes and their pepper
datasets/          immutable dataset versions
curator/           working sets and reject files
search/            the span store
predictor/         calibrations from labelled traffic
ledger/            the log
ensemble/          answers that wait to be sealed
fallback/          what providers have cost today
prices.json        prices of models, once `arenalab prices refresh` has fetched them
run/               lock and addresses of the running mesh
"""

import fcntl
import json
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from arenalab.curator.keys import create_key
from arenalab.ledger.keys import create_signing_key
from arenalab.mesh import ConfigError, MeshError, NotReadyError, PreconditionError, Reason

SETTINGS: Final = "arenalab.toml"
HIDDEN: Final = ".arenalab"

_SETTINGS_TEXT: Final = """\
# Settings of this ArenaLab home. Every value shown is the default.

[gateway]
# host = "127.0.0.1"     # beyond loopback, API keys are required
# port = 8080

[search]
# embedder = "minilm"    # or "sentence-transformers:NAME_OR_DIRECTORY"
# graph = "faiss"        # or "hnswlib", where that extra is installed

[guarantee]
# alpha = 0.05           # of the answers served from memory, at most this share is wrong
# delta = 0.05           # ... with confidence 1 - delta
# audit_rate = 0.01      # share of memory's outputs drawn for labelling: `arenalab audits`
# recalibrate_every_h = 24.0   # from 50 labelled audits on; 0: only `arenalab recalibrate`

[fallback]
# routing = "ordered"    # or "weighted", "cheapest", "fastest"
# hedge_after_s = 0.0    # ask a second provider when no token came for so long; 0: never
# daily_cap_usd = 0.0    # that all providers may cost a day of UTC; 0: no cap

[cache]
# memory_mb = 32         # outputs kept for repeated questions; 0: none are
# disk_mb = 0            # ... and as many on disk, which outlives a restart
# redis_url = ""         # ... and in Redis, where the extra is installed

[telemetry]
# otlp_endpoint = "http://127.0.0.1:4317"   # Jaeger, or a collector

# One section per fallback provider, asked in this order; "openai", "anthropic" and "gemini"
# know where they are. The key is read from the environment variable that `key_env` names,
# never from this file.
# [providers.openai]
# base_url = "https://api.openai.com/v1"
# model = "gpt-4o-mini"
# key_env = "OPENAI_API_KEY"
# api = "openai"         # or "anthropic", "gemini": what it speaks, if its address does not say
# drop = ["seed"]        # fields that it would refuse, and that are then left out
# models = ["gpt-*"]     # asked for these when a request names a model without a provider
# weight = 1.0           # in weighted routing
# max_concurrent = 8     # completions at the same time
# daily_cap_usd = 5.0    # a day of UTC
# price_usd = "0.15/0.60/0.075"   # a million input/output/cached tokens; `arenalab prices`
"""


class NoHomeError(PreconditionError):
    """There is no home where one was looked for."""


@dataclass(frozen=True, slots=True)
class Running:
    """Where a running mesh listens, as its home's run/mesh.json says."""

    pid: int
    gateway: str  # "http://host:port"
    addresses: Mapping[str, str]  # service -> "host:port"
    version: str = ""  # of the program that runs; empty when it is not known


@dataclass(frozen=True, slots=True)
class Home:
    """An existing home. Paths are absolute."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> tuple[Self, str | None]:
        """Makes a home, or completes one that is there; keys and settings are kept.

        Returns:
            The home, and the new API key in clear when one was made: it is stored
            only as a hash, so this is the one time to show it.
        """
        home = cls(path.resolve())
        for folder in ("keys", "datasets", "curator", "search", "predictor", "ledger", "run"):
            (home.path / folder).mkdir(parents=True, exist_ok=True)
        (home.path / "keys").chmod(0o700)
        if not home.settings_path.exists():
            home.settings_path.write_text(_SETTINGS_TEXT)
        if not home.ledger_key.exists():
            create_signing_key(home.ledger_key)
        if not home.dataset_key.exists():
            create_key(home.dataset_key)
        if home.api_keys.exists():
            return home, None
        return home, _first_api_key(home)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Returns the home at `path`.

        Raises:
            NoHomeError: It has no arenalab.toml.
        """
        home = cls(path.resolve())
        if not home.settings_path.exists():
            raise NoHomeError(
                f"{path} is not an ArenaLab home; make one with `arenalab init {path}`",
                Reason.MISSING_KEY,
                key=SETTINGS,
            )
        return home

    @property
    def settings_path(self) -> Path:
        return self.path / SETTINGS

    @property
    def ledger_key(self) -> Path:
        return self.path / "keys" / "ledger.ed25519"

    @property
    def dataset_key(self) -> Path:
        return self.path / "keys" / "dataset.ed25519"

    @property
    def dataset_public_key(self) -> Path:
        return self.path / "keys" / "dataset.ed25519.pub"

    @property
    def prices(self) -> Path:
        return self.path / "prices.json"

    @property
    def api_keys(self) -> Path:
        return self.path / "keys" / "api-keys.sqlite"

    @property
    def api_keys_url(self) -> str:
        return f"sqlite:///{self.api_keys}"

    @property
    def api_key_pepper(self) -> Path:
        return self.path / "keys" / "api-key-pepper"

    def settings(self) -> dict[str, Any]:
        """Returns the parsed settings.

        Raises:
            ConfigError: The file is not UTF-8 or not TOML.
        """
        try:
            return tomllib.loads(self.settings_path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.settings_path}: {error}") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the home for one mesh.

        Raises:
            NotReadyError: Another mesh holds it.
        """
        (self.path / "run").mkdir(exist_ok=True)
        with (self.path / "run" / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise NotReadyError(f"a mesh is running from {self.path} already") from error
            yield

    @contextmanager
    def announced(self, running: Running) -> Iterator[None]:
        """Says where the mesh listens, for the length of the block."""
        where = self.path / "run" / "mesh.json"
        where.write_text(json.dumps(asdict(running), indent=2))
        try:
            yield
        finally:
            where.unlink(missing_ok=True)

    def running(self) -> Running | None:
        """Returns where the mesh of this home listens, or None when none is running."""
        where = self.path / "run" / "mesh.json"
        try:
            running = Running(**json.loads(where.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        try:
            with self.locked():
                return None  # a file left behind by a mesh that was killed
        except MeshError:
            return running


def find_home(given: Path | None, env: Mapping[str, str], directory: Path) -> Home:
    """Returns the home that a command means.

    In this order: `given`; `ARENALAB_HOME`; the directory or one above it that is or
    holds a home; the home that `arenalab init` made last.

    Raises:
        NoHomeError: None of these is a home.
    """
    if given is not None:
        return Home.open(given)
    if named := env.get("ARENALAB_HOME"):
        return Home.open(Path(named))
    for above in (directory, *directory.parents):
        for place in (above, above / HIDDEN):
            if (place / SETTINGS).exists():
                return Home.open(place)
    pointer = _pointer(env)
    if pointer.exists():
        return Home.open(Path(pointer.read_text().strip()))
    raise NoHomeError(
        "there is no ArenaLab home here; make one with `arenalab init DIR`",
        Reason.MISSING_KEY,
        key=SETTINGS,
    )


def remember_home(home: Home, env: Mapping[str, str]) -> None:
    """Makes `home` the one that is meant when nothing nearer says otherwise.

    A convenience: where it cannot be remembered, as in a container whose user has no
    directory, `--home` and `ARENALAB_HOME` still name it.
    """
    pointer = _pointer(env)
    with suppress(OSError):
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.write_text(f"{home.path}\n")


def _pointer(env: Mapping[str, str]) -> Path:
    state = env.get("XDG_STATE_HOME") or str(
        Path(env.get("HOME", "~")).expanduser() / ".local/state"
    )
    return Path(state) / "arenalab" / "home"


def _first_api_key(home: Home) -> str:
    # Imported here: a database's library, which no other command but `keys` needs.
    from arenalab.gateway.keys.pepper import create_pepper, read_pepper
    from arenalab.gateway.keys.record import KeyTerms
    from arenalab.gateway.keys.store import KeyStore

    create_pepper(home.api_key_pepper)
    store = KeyStore.open(home.api_keys_url, read_pepper(home.api_key_pepper))
    try:
        return store.create(KeyTerms(name="first-key"), datetime.now(UTC)).text
    finally:
        store.close()
