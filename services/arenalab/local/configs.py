"""The settings of every service of one home: the same for one process and for many."""

import logging
import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from arenalab.curator.config import CuratorConfig
from arenalab.ensemble.config import EnsembleConfig
from arenalab.fallback import provider_config, terms
from arenalab.fallback.config import FallbackConfig, ProviderConfig, fallback_config
from arenalab.gateway.config import GatewayConfig
from arenalab.ledger.config import LedgerConfig
from arenalab.local.home import Home
from arenalab.mesh import ConfigError, address_of, ports
from arenalab.planner.config import PlannerConfig
from arenalab.predictor.config import PredictorConfig
from arenalab.search.config import SearchConfig

_logger = logging.getLogger(__name__)

LOOPBACK: Final = "127.0.0.1"
GRPC_PORTS: Final = {
    "ledger": ports.LEDGER,
    "search": ports.SEARCH,
    "planner": ports.PLANNER,
    "predictor": ports.PREDICTOR,
    "fallback": ports.FALLBACK,
    "ensemble": ports.ENSEMBLE,
    "curator": ports.CURATOR,
}
DEFAULT_ADDRESSES: Final = {name: address_of(port) for name, port in GRPC_PORTS.items()}
# Port 0: each service takes a free one.
FREE_ADDRESSES: Final = dict.fromkeys(GRPC_PORTS, address_of(0))
MAX_RISK: Final = 0.5
# A name that nothing reads is a typing error, and would be a silent one.
_NAMES: Final[Mapping[str, frozenset[str]]] = {
    "gateway": frozenset({"host", "port"}),
    "search": frozenset({"embedder", "graph"}),
    "guarantee": frozenset({"alpha", "delta", "audit_rate", "recalibrate_every_h"}),
    "fallback": frozenset({"routing", "hedge_after_s", "daily_cap_usd"}),
    "telemetry": frozenset({"otlp_endpoint"}),
    "cache": frozenset({"memory_mb", "disk_mb", "redis_url"}),
}
_PROVIDER_NAMES: Final = provider_config.NAMES | terms.NAMES | {"key_env"}
# Of what type a setting of a provider is, where it is not a str.
_PROVIDER_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "daily_cap_usd": (int, float),
    "drop": (list,),
    "max_concurrent": (int,),
    "max_tokens": (int,),
    "models": (list,),
    "needs_key": (bool,),
    "weight": (int, float),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What arenalab.toml says, checked."""

    host: str
    port: int
    embedder: str
    graph: str
    alpha: float
    delta: float
    audit_rate: float
    recalibrate_every_h: float
    routing: str
    hedge_after_s: float
    daily_cap_usd: float
    otlp_endpoint: str | None
    providers: tuple[ProviderConfig, ...]
    cache_memory_mb: int
    cache_disk_mb: int  # 0: none
    cache_redis_url: str  # empty: none

    @classmethod
    def of(cls, home: Home, env: Mapping[str, str] = os.environ) -> "Settings":
        """Reads the home's settings; provider keys come from `env`.

        Raises:
            ConfigError: A section or value is not known or not of its type.
        """
        given = home.settings()
        _check_names(home.settings_path, given)
        read = _Reader(home.settings_path, given)
        settings = cls(
            host=read.get("gateway", "host", LOOPBACK),
            port=read.get("gateway", "port", ports.GATEWAY),
            embedder=read.get("search", "embedder", "minilm"),
            graph=read.get("search", "graph", "faiss"),
            alpha=read.get("guarantee", "alpha", 0.05),
            delta=read.get("guarantee", "delta", 0.05),
            audit_rate=read.get("guarantee", "audit_rate", 0.01),
            recalibrate_every_h=read.get("guarantee", "recalibrate_every_h", 24.0),
            routing=read.get("fallback", "routing", "ordered"),
            hedge_after_s=read.get("fallback", "hedge_after_s", 0.0),
            daily_cap_usd=read.get("fallback", "daily_cap_usd", 0.0),
            otlp_endpoint=env.get("OTEL_EXPORTER_OTLP_ENDPOINT")
            or read.get("telemetry", "otlp_endpoint", "")
            or None,
            # The environment counts when the file names no provider.
            providers=read.providers(env) or fallback_config(env).providers,
            cache_memory_mb=read.get("cache", "memory_mb", 32),
            cache_disk_mb=read.get("cache", "disk_mb", 0),
            cache_redis_url=read.get("cache", "redis_url", ""),
        )
        for name in ("alpha", "delta"):
            if not 0 < getattr(settings, name) <= MAX_RISK:
                raise ConfigError(
                    f"{home.settings_path}: guarantee.{name} must be in (0, {MAX_RISK}], "
                    f"got {getattr(settings, name)}"
                )
        return settings


def _check_names(path: Path, given: Mapping[str, Any]) -> None:
    if unknown := set(given) - {*_NAMES, "providers"}:
        raise ConfigError(f"{path}: unknown section {min(unknown)!r}")
    for section, values in given.items():
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: {section} must be a section, [{section}]")
        if section == "providers":
            continue
        if unknown := set(values) - _NAMES[section]:
            raise ConfigError(f"{path}: unknown setting '{section}.{min(unknown)}'")


@dataclass(frozen=True, slots=True)
class _Reader:
    path: Path
    given: dict[str, Any]

    def get(self, section: str, name: str, default: Any) -> Any:
        value = self.given.get(section, {}).get(name, default)
        if isinstance(default, float) and isinstance(value, int):
            value = float(value)
        if type(value) is not type(default):
            kind = type(default).__name__
            raise ConfigError(f"{self.path}: {section}.{name} must be {kind}, got {value!r}")
        return value

    def providers(self, env: Mapping[str, str]) -> tuple[ProviderConfig, ...]:
        found = []
        for name, section in self.given.get("providers", {}).items():
            place = f"{self.path}: providers.{name}"
            if not isinstance(section, dict):
                raise ConfigError(f"{place} must be a section")
            if unknown := set(section) - _PROVIDER_NAMES:
                raise ConfigError(f"{place} has the unknown setting {min(unknown)!r}")
            texts = {setting: _text_of(place, setting, section[setting]) for setting in section}

            def named(setting: str, place: str = place) -> str:
                return f"{place}.{setting}"

            found.append(
                provider_config.read_provider(
                    name,
                    texts,
                    named,
                    env,
                    key=self._key(place, texts.get("key_env"), env),
                    terms=terms.read_terms(texts, named),
                )
            )
        return tuple(found)

    @staticmethod
    def _key(place: str, variable: str | None, env: Mapping[str, str]) -> str | None:
        if not variable:
            return None
        if variable not in env:
            # Memory answers without it, so that this is no reason not to start.
            _logger.warning("%s: the environment has no %s: asked without a key", place, variable)
        return env.get(variable)


def _text_of(place: str, setting: str, value: object) -> str:
    kinds = _PROVIDER_TYPES.get(setting, (str,))
    # True is an int, too.
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise ConfigError(f"{place}.{setting} must be {wanted}, got {value!r}")
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


@dataclass(frozen=True, slots=True)
class Configs:
    """Builds each service's settings once the addresses that it needs are known."""

    home: Home
    settings: Settings

    @property
    def _shared_cache(self) -> dict[str, Any]:
        """What search and predictor have in common; their caches have names of their own."""
        shared: dict[str, Any] = {"cache_redis_url": self.settings.cache_redis_url}
        if self.settings.cache_disk_mb:
            shared["cache_disk_path"] = self.home.path / "cache"
            shared["cache_disk_mb"] = self.settings.cache_disk_mb
        return shared

    def ledger(self, at: Mapping[str, str]) -> LedgerConfig:
        return LedgerConfig(
            address=at["ledger"],
            directory=self.home.path / "ledger",
            key_path=self.home.ledger_key,
        )

    def search(self, at: Mapping[str, str]) -> SearchConfig:
        return SearchConfig(
            address=at["search"],
            store_path=self.home.path / "search" / "spans.sqlite",
            datasets_dir=self.home.path / "datasets",
            dataset_public_key=self.home.dataset_public_key,
            embedder=self.settings.embedder,
            graph=self.settings.graph,
            **self._shared_cache,
        )

    def planner(self, at: Mapping[str, str]) -> PlannerConfig:
        return PlannerConfig(address=at["planner"], search_address=at["search"])

    def predictor(self, at: Mapping[str, str]) -> PredictorConfig:
        creatures = self.home.path / "creatures.toml"
        return PredictorConfig(
            address=at["predictor"],
            home=self.home.path / "predictor",
            datasets_dir=self.home.path / "datasets",
            search_address=at["search"],
            planner_address=at["planner"],
            creatures_path=creatures if creatures.exists() else None,
            recalibrate_every_s=self.settings.recalibrate_every_h * 3600.0,
            cache_memory_mb=self.settings.cache_memory_mb,
            **self._shared_cache,
        )

    def fallback(self, at: Mapping[str, str]) -> FallbackConfig:
        cap = self.settings.daily_cap_usd
        return FallbackConfig(
            address=at["fallback"],
            providers=self.settings.providers,
            routing=self.settings.routing,
            hedge_after_s=self.settings.hedge_after_s,
            daily_cap_usd=str(cap) if cap else "",
            spending_path=self.home.path / "fallback" / "spending.json",
            prices_path=self.home.prices,
        )

    def ensemble(self, at: Mapping[str, str]) -> EnsembleConfig:
        guardrails = self.home.path / "guardrails.json"
        return EnsembleConfig(
            address=at["ensemble"],
            predictor_address=at["predictor"],
            fallback_address=at["fallback"],
            ledger_address=at["ledger"],
            journal_path=self.home.path / "ensemble" / "unsealed.ndjson",
            predictions_dir=self.home.path / "ensemble" / "predictions",
            audit_rate=self.settings.audit_rate,
            guardrails_path=guardrails if guardrails.exists() else None,
        )

    def curator(self, at: Mapping[str, str]) -> CuratorConfig:
        return CuratorConfig(
            address=at["curator"],
            home=self.home.path / "curator",
            datasets_dir=self.home.path / "datasets",
            key_path=self.home.dataset_key,
            search_address=at["search"],
            predictor_address=at["predictor"],
            ledger_address=at["ledger"],
        )

    def gateway(self, at: Mapping[str, str], port: int) -> GatewayConfig:
        config = GatewayConfig(
            host=self.settings.host,
            port=port,
            ensemble_address=at["ensemble"],
            search_address=at["search"],
            ledger_address=at["ledger"],
            predictor_address=at["predictor"],
            keys_url=self.home.api_keys_url,
            key_pepper_path=self.home.api_key_pepper,
        )
        # The home has a key from the start; on loopback nobody needs it.
        return replace(config, dev=True) if config.is_loopback else config


def free_addresses() -> dict[str, str]:
    """Returns an address of its own for each gRPC service, on ports that were free just now."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in GRPC_PORTS]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        found = [address_of(probe.getsockname()[1]) for probe in probes]
    return dict(zip(GRPC_PORTS, found, strict=True))


def environment_of(service: str, config: Any) -> dict[str, str]:
    """Returns the variables from which `read_config` builds `config` again."""
    return {
        f"{service}_{field.name}".upper(): _text(value)
        for field in fields(config)
        if (value := getattr(config, field.name)) is not None
    }


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)
