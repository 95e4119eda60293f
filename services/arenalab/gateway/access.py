"""Opens what decides who may call and how much: the keys and the limits of the settings."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

from arenalab.gateway.account import Meter
from arenalab.gateway.config import GatewayConfig
from arenalab.gateway.keys.pepper import Pepper, create_pepper, read_pepper
from arenalab.gateway.keys.ring import KeyRing, hash_clear
from arenalab.gateway.keys.watch import StaticKeys, WatchedKeys
from arenalab.gateway.limits.limiter import Limiter
from arenalab.gateway.limits.local import LocalLimiter
from arenalab.gateway.limits.usage import UsageBook
from arenalab.mesh import ConfigError, PreconditionError, Reason

_logger = logging.getLogger(__name__)

# Longer than any answer may take, so that only a gateway that died leaves a reservation
# to run out.
_HOLD_MARGIN_S: Final = 60.0


@asynccontextmanager
async def opened_keys(
    config: GatewayConfig, usage: UsageBook, now: Callable[[], float] = time.time
) -> AsyncGenerator[StaticKeys]:
    """Yields the keys, kept up to date for the length of the block.

    Raises:
        ConfigError: A key of the settings, the pepper or the store's URL is malformed.
        PreconditionError: MISSING_KEY; keys are needed and there can be none. Or the
            pepper is missing or another one.
        NotReadyError: The store does not answer.
    """
    clear_pepper = Pepper.random()
    clear = hash_clear(config.api_keys, clear_pepper)
    if config.keys_url is None:
        if config.needs_keys and not clear:
            raise PreconditionError(
                f"gateway: listening on {config.host} needs API keys: set GATEWAY_KEYS_URL or "
                "GATEWAY_API_KEYS",
                Reason.MISSING_KEY,
                key="GATEWAY_KEYS_URL",
            )
        yield StaticKeys(KeyRing((), None, clear, clear_pepper), now)
        return
    # Imported here: it takes a tenth of a second, and who has no store needs none.
    from arenalab.gateway.keys.store import KeyStore

    pepper = pepper_of(config)
    store = await asyncio.to_thread(KeyStore.open, config.keys_url, pepper)
    try:
        keys = WatchedKeys(
            store,
            pepper,
            usage,
            clear=clear,
            clear_pepper=clear_pepper,
            poll_s=config.keys_poll_s,
            max_age_s=config.keys_max_age_s,
            wall_clock=now,
        )
        async with keys.watching():
            if config.needs_keys and not keys.ring:
                _logger.warning("there is no API key yet: make one with `arenalab keys create`")
            yield keys
    finally:
        await asyncio.to_thread(store.close)


def pepper_of(config: GatewayConfig) -> Pepper:
    """Returns the pepper of the key store; makes its file where there is none.

    Raises:
        ConfigError: None is configured, or it is malformed.
        PreconditionError: MISSING_KEY; its file cannot be used.
    """
    if config.key_pepper is not None:
        return Pepper.from_hex(config.key_pepper, "GATEWAY_KEY_PEPPER")
    if config.key_pepper_path is None:
        raise ConfigError(
            "GATEWAY_KEYS_URL needs GATEWAY_KEY_PEPPER_PATH or GATEWAY_KEY_PEPPER: what the "
            "keys are hashed with"
        )
    create_pepper(config.key_pepper_path)
    return read_pepper(config.key_pepper_path)


@asynccontextmanager
async def opened_meter(
    config: GatewayConfig, usage: UsageBook, now: Callable[[], float] = time.time
) -> AsyncGenerator[Meter]:
    """Yields what counts, for the length of the block.

    Raises:
        ConfigError: The URL of Redis is malformed, or its client is not installed.
    """
    limiter = _limiter(config, now)
    try:
        yield Meter(
            limiter=limiter,
            usage=usage,
            caps=config.caps,
            completion_tokens=config.completion_tokens,
            call_usd_micros=config.call_usd_micros,
            now=now,
        )
    finally:
        await limiter.aclose()


def _limiter(config: GatewayConfig, now: Callable[[], float]) -> Limiter:
    hold_s = config.answer_timeout_s + _HOLD_MARGIN_S
    local = LocalLimiter(now, hold_s)
    if config.redis_url is None:
        return local
    # Imported here: in process, nothing of it is needed.
    from arenalab.gateway.limits.fallback import FallbackLimiter
    from arenalab.gateway.limits.shared import SharedLimiter, connect_redis

    shared = SharedLimiter(connect_redis(config.redis_url, config.redis_timeout_s), hold_s)
    return FallbackLimiter(shared, local) if config.redis_away == "local" else shared
