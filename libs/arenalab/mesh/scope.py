"""The tenant that a call is confined to."""

import re
from typing import Final

from arenalab.api.common.v1 import scope_pb2
from arenalab.mesh.errors import InvalidInputError

DEFAULT_TENANT: Final = "default"
_TENANT: Final = re.compile(r"[a-z0-9_-]{1,64}")


def tenant_of(scope: scope_pb2.Scope) -> str:
    """Returns the tenant's name; an empty one means "default".

    Raises:
        InvalidInputError: The name is not a token.
    """
    tenant = scope.tenant or DEFAULT_TENANT
    if not _TENANT.fullmatch(tenant):
        raise InvalidInputError(
            f"scope.tenant must match {_TENANT.pattern}, got {tenant[:80]!r}", field="scope.tenant"
        )
    return tenant


def scope_for(tenant: str) -> scope_pb2.Scope:
    """Returns the protobuf form of a tenant's name."""
    return scope_pb2.Scope(tenant=tenant)
