"""Runs the gateway: `python -m arenalab.gateway`."""

from arenalab.gateway.config import GatewayConfig
from arenalab.gateway.wiring import running_gateway
from arenalab.mesh import run


def main() -> None:
    run("gateway", GatewayConfig, running_gateway)


if __name__ == "__main__":
    main()
