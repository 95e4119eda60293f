"""The faiss library, set up for a server."""

import functools
import os
import threading
from pathlib import Path
from typing import Any, Final

# Queries times dimensions from which comparing them with all vectors pays by BLAS. faiss
# counts the same since its pull request 5022; its own 128,000 is for many threads, and at
# one thread, as in a server, BLAS is twice as fast for 16 queries of 384 dimensions.
BLAS_WORK: Final = 2000

_of_thread: Final = threading.local()


@functools.cache
def load_faiss() -> Any:
    """Returns the faiss module; the first call imports it."""
    # Both libraries in faiss's wheel read these once, while they are loaded.
    wanted = {name: value for name, value in _settings().items() if name not in os.environ}
    os.environ.update(wanted)
    try:
        import faiss
    finally:
        for name in wanted:
            os.environ.pop(name, None)
    faiss.cvar.distance_compute_blas_threshold = BLAS_WORK
    return faiss


def faiss_on_one_thread() -> Any:
    """Returns the faiss module, set to work on the calling thread alone."""
    faiss = load_faiss()
    if not getattr(_of_thread, "is_set", False):  # a call of the library costs 10 us
        faiss.omp_set_num_threads(1)
        _of_thread.is_set = True
    return faiss


def _settings() -> dict[str, str]:
    # Threads that wait for each other sleep: where other work shares the cores, those that
    # wait actively take the time of those they wait for (measured: a build on two threads
    # took thrice as long as on one).
    settings = {"OMP_WAIT_POLICY": "PASSIVE"}
    if _has_avx512():
        # OpenBLAS picks a slow kernel on CPUs that it does not know.
        settings["OPENBLAS_CORETYPE"] = "SKYLAKEX"
    return settings


def _has_avx512() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and " avx512f " in cpuinfo.read_text()
