"""Runs Fallback: `python -m arenalab.fallback`."""

import os
from contextlib import AbstractAsyncContextManager

from arenalab.fallback.config import FallbackConfig, with_providers, without_providers
from arenalab.fallback.wiring import running_fallback
from arenalab.mesh import Telemetry, run


def main() -> None:
    run("fallback", FallbackConfig, _running, without_providers(os.environ))


def _running(config: FallbackConfig, telemetry: Telemetry) -> AbstractAsyncContextManager[int]:
    return running_fallback(with_providers(config, os.environ), telemetry)


if __name__ == "__main__":
    main()
