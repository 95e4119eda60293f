"""The faiss library, set up for a server."""

import functools
import os
from pathlib import Path
from typing import Any


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
    return faiss


def _has_avx512() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and " avx512f " in cpuinfo.read_text()
