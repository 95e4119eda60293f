"""What the processes below this one are charged for."""

from collections.abc import Callable
from pathlib import Path

import psutil


def processor_of(*words: str) -> Callable[[], float]:
    """Returns a function that says how many processor seconds some processes have had.

    Args:
        words: What the command line of each holds.
    """
    found = [
        process.pid
        for process in psutil.Process().children(recursive=True)
        if all(word in " ".join(process.cmdline()) for word in words)
    ]
    return lambda: sum(map(_processor_s, found))


def _processor_s(pid: int) -> float:
    """Returns the processor time that a process has had, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
