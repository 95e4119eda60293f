"""What callers are told when the disk refuses."""

import errno
import os
from pathlib import Path
from typing import Final

from arenalab.mesh import BudgetSpentError, Reason

# EFBIG is a full disk by another name: the limit on this process's file size.
STORAGE_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def storage_error(error: OSError, path: Path) -> BudgetSpentError:
    """Returns the error of a write that the disk refused and that was undone."""
    return BudgetSpentError(
        f"the ledger could not write, nothing was kept: {os.strerror(error.errno or 0)}",
        Reason.STORAGE_FULL,
        path=path.name,
    )
