"""Heavy work in a process of its own, so that its memory goes back when it ends.

What is to be done arrives on standard input; what came of it leaves on standard output. An error
that the caller may act on leaves on standard error as JSON, with exit status 3.
"""

import asyncio
import json
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
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate(job)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
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
