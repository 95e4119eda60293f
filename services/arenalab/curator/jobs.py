"""One job per dataset at a time, in this process and in any other with the same home."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from arenalab.mesh import BusyError


class Jobs:
    """Which datasets are being worked on. Its locks lie beside the working sets."""

    def __init__(self, home: Path) -> None:
        self._home = home

    @contextmanager
    def exclusive(self, job: str, tenant: str, dataset: str) -> Iterator[None]:
        """Holds the dataset for the length of the block.

        Raises:
            BusyError: Another job holds it.
        """
        folder = self._home / tenant
        folder.mkdir(parents=True, exist_ok=True)
        # The kernel lets go of the lock when the process dies, however it dies.
        with (folder / f"{dataset}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BusyError(
                    f"dataset {dataset!a} is being ingested or published already",
                    job=job,
                    dataset=dataset,
                ) from error
            yield
