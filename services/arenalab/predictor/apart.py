"""Heavy work in a process of its own, so that its memory goes back when it ends.

What is to be done arrives on standard input; what came of it leaves on standard output. An error
that the caller may act on leaves on standard error as JSON, with exit status 3.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from arenalab.mesh import DataLossError, InvalidInputError, MeshError, NotFoundError, Reason

_REFUSED: Final = 3
_KINDS: Final = {
    Reason.CORRUPT_DATASET: DataLossError,
    Reason.INVALID_ARGUMENT: InvalidInputError,
}


async def run_apart(module: str, job: bytes) -> bytes:
    """Runs a module in a new process; a caller that goes away ends it.

    Raises:
        MeshError: What the job was refused with; or the process failed.
    """
    # By the standard library and not by the event loop: uvloop forks, and such a child was once
    # gone before it had begun, as gRPC said that its handlers of a fork were skipped. The standard
    # library takes vfork, which runs no handlers.
    process = subprocess.Popen(  # noqa: ASYNC220, S603 - a few milliseconds; our own module
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    talking = asyncio.get_running_loop().run_in_executor(None, process.communicate, job)
    try:
        output, errors = await asyncio.shield(talking)
    except BaseException:
        process.kill()
        await talking
        raise
    if process.returncode == 0:
        return output
    if process.returncode == _REFUSED:
        raise _rebuilt(json.loads(errors))
    raise MeshError(f"{module} ended with status {process.returncode}: {errors.decode()[-2000:]}")


@contextmanager
def refusals_on_stderr() -> Iterator[None]:
    """Ends the process as `run_apart` expects, where the caller may act on the error."""
    try:
        yield
    except (InvalidInputError, NotFoundError, DataLossError) as error:
        form = {**error.metadata, "message": str(error), "reason": str(error.reason)}
        sys.stderr.write(json.dumps(form))
        raise SystemExit(_REFUSED) from error


def _rebuilt(form: dict[str, str]) -> MeshError:
    reason = Reason(form.pop("reason"))
    message = form.pop("message")
    return _KINDS.get(reason, NotFoundError)(message, reason, **form)
