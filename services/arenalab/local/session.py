"""Where a command finds its mesh: the running one, or one made for the command."""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from arenalab.local.configs import FREE_ADDRESSES, Configs, Settings
from arenalab.local.home import Home, Running
from arenalab.mesh import ConfigError, NotReadyError

# "gateway=http://gateway:8080,search=search:50051,…": a mesh that runs elsewhere.
MESH_VARIABLE: Final = "ARENALAB_MESH"


@asynccontextmanager
async def mesh_for(home: Home) -> AsyncGenerator[Running]:
    """Yields the mesh of `home`: the one that runs, or one for the length of the block."""
    running = find_running(home)
    if running is not None:
        yield running
        return
    # Imported here: only this case needs every service's code.
    from arenalab.local.onehost import Ports, running_mesh

    configs = Configs(home, Settings.of(home))
    with home.locked():
        async with running_mesh(configs, Ports(FREE_ADDRESSES, gateway=None)) as running:
            yield running


def find_running(home: Home, env: Mapping[str, str] = os.environ) -> Running | None:
    """Returns the mesh that `ARENALAB_MESH` names, or that runs from `home`, or None."""
    if named := env.get(MESH_VARIABLE):
        return _parse(named)
    return home.running()


def need_running(home: Home) -> Running:
    """Returns the running mesh.

    Raises:
        NotReadyError: None is running.
    """
    running = find_running(home)
    if running is None or not running.gateway:
        raise NotReadyError("the mesh is not running; start it with `arenalab up`")
    return running


def _parse(text: str) -> Running:
    try:
        places = dict(part.strip().split("=", 1) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ConfigError(f"{MESH_VARIABLE} must be name=address,…, got {text!r}") from error
    gateway = places.pop("gateway", "")
    if missing := {"curator", "ensemble", "fallback", "ledger", "predictor", "search"} - set(
        places
    ):
        raise ConfigError(f"{MESH_VARIABLE} does not name {', '.join(sorted(missing))}")
    return Running(pid=0, gateway=gateway, addresses=places)
