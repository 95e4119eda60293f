import errno

import pytest

from arenalab.api.errors.v1 import error_reason_pb2
from arenalab.mesh import InvalidInputError, Reason
from arenalab.mesh.errors import _KINDS, MeshError
from arenalab.mesh.handlers import as_mesh_error


def test_the_reasons_are_those_of_the_proto() -> None:
    names = error_reason_pb2.ErrorReason.DESCRIPTOR.values_by_name
    published = {name.removeprefix("ERROR_REASON_") for name in names}
    assert {reason.value for reason in Reason} == published - {"UNSPECIFIED"}


def test_every_kind_of_error_has_a_status_of_its_own() -> None:
    assert len({kind.code for kind in _KINDS}) == len(_KINDS)
    assert set(_KINDS) == {MeshError, *MeshError.__subclasses__()}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_a_documented_error(number: int) -> None:
    error = as_mesh_error(OSError(number, "full", "ledger/0.ndjson"))
    assert error is not None
    assert error.reason is Reason.STORAGE_FULL


def test_a_bug_is_not_a_documented_error() -> None:
    assert as_mesh_error(KeyError("x")) is None
    assert as_mesh_error(OSError(errno.EIO, "io")) is None


def test_an_error_keeps_its_metadata() -> None:
    error = InvalidInputError("limit must be in [1, 9], got 0", field="limit")
    assert error.reason is Reason.INVALID_ARGUMENT
    assert error.metadata == {"field": "limit"}
