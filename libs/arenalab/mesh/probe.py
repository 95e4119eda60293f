"""Asks a service's health: `python -m arenalab.mesh.probe HOST:PORT`; exits 0 when it serves."""

import sys
from typing import Final

import grpc
from grpc_health.v1 import health_pb2

TIMEOUT_S: Final = 2.0
_CHECK: Final = "/grpc.health.v1.Health/Check"


def health(address: str) -> str:
    """Returns "SERVING", "NOT_SERVING" or the name of the status of a failed check."""
    # A proxy of the environment is for the world, not for peers.
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        # Not HealthStub: its published type stubs miss the methods.
        check = channel.unary_unary(
            _CHECK,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            reply = check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            return str(error.code().name)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)


def main() -> None:
    status = health(sys.argv[1])
    sys.stdout.write(f"{status}\n")
    raise SystemExit(0 if status == "SERVING" else 1)


if __name__ == "__main__":
    main()
