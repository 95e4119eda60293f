"""How a service of the mesh is served, called, observed, configured, and how it fails."""

from arenalab.mesh import ports
from arenalab.mesh.client import connect
from arenalab.mesh.config import ConfigError, address_of, read_config
from arenalab.mesh.errors import (
    BudgetSpentError,
    BusyError,
    DataLossError,
    DeadlineError,
    InvalidInputError,
    MeshError,
    NotFoundError,
    NotReadyError,
    PreconditionError,
    Reason,
)
from arenalab.mesh.metrics import Metrics
from arenalab.mesh.scope import scope_for, tenant_of
from arenalab.mesh.server import run, running_server, stop_signal
from arenalab.mesh.telemetry import Telemetry, annotate

__all__ = [
    "BudgetSpentError",
    "BusyError",
    "ConfigError",
    "DataLossError",
    "DeadlineError",
    "InvalidInputError",
    "MeshError",
    "Metrics",
    "NotFoundError",
    "NotReadyError",
    "PreconditionError",
    "Reason",
    "Telemetry",
    "address_of",
    "annotate",
    "connect",
    "ports",
    "read_config",
    "run",
    "running_server",
    "scope_for",
    "stop_signal",
    "tenant_of",
]
