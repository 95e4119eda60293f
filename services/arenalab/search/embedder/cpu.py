"""What the embedder must know about the processor it runs on."""

import os
import platform
from pathlib import Path

_X86 = frozenset({"x86_64", "AMD64", "i386", "i686"})
# Linux's names for the instructions that add int8 products straight into 32 bits.
_VNNI_FLAGS = frozenset({"avx512_vnni", "avx_vnni"})
_CPUINFO = Path("/proc/cpuinfo")


def usable_cores() -> int:
    """Returns the cores this process may use, not those installed."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def may_saturate_int8() -> bool:
    """Whether products of int8 may overflow here: on x86 not known to have VNNI.

    There, older instructions add pairs of products in 16 bits and saturate, which would give the
    same text another vector than on every other machine.
    """
    if platform.machine() not in _X86:
        return False
    return not (_CPUINFO.exists() and has_vnni(_CPUINFO.read_text(encoding="utf-8")))


def has_vnni(cpuinfo: str) -> bool:
    """Whether every core listed in the text of /proc/cpuinfo has VNNI."""
    flags = [line.partition(":")[2].split() for line in cpuinfo.splitlines() if _is_flags(line)]
    return bool(flags) and all(_VNNI_FLAGS & set(core) for core in flags)


def _is_flags(line: str) -> bool:
    return line.partition(":")[0].strip() == "flags"
