"""The faiss library, set up for a server."""

import functools
import os
from pathlib import Path
from typing import Any, Final

# Queries times dimensions from which comparing them with all vectors pays by BLAS. faiss
# counts the same since its pull request 5022; its own 128,000 is for many threads, and at
# one thread, as in a server, BLAS is twice as fast for 16 queries of 384 dimensions.
BLAS_WORK: Final = 2000


@functools.cache
def load_faiss() -> Any:
    """Returns the faiss module; the first call imports it."""
    # The OpenBLAS in faiss's wheel picks a slow kernel on CPUs that it does not know.
    # It reads this once, while it is loaded, so the variable lasts only that long.
    tells_core = "OPENBLAS_CORETYPE" in os.environ
    if _has_avx512() and not tells_core:
        os.environ["OPENBLAS_CORETYPE"] = "SKYLAKEX"
    try:
        import faiss
    finally:
        if not tells_core:
            os.environ.pop("OPENBLAS_CORETYPE", None)
    faiss.cvar.distance_compute_blas_threshold = BLAS_WORK
    return faiss


def _has_avx512() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and " avx512f " in cpuinfo.read_text()
