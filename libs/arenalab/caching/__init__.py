"""Caches in layers: the process's memory, Redis, the disk."""

from arenalab.caching.keys import cache_key
from arenalab.caching.layer import Entry, Layer
from arenalab.caching.memory import MemoryLayer
from arenalab.caching.opening import CacheSettings, open_cache
from arenalab.caching.statistics import LayerStatistics
from arenalab.caching.tiered import Cache, Computed, Hit

__all__ = [
    "Cache",
    "CacheSettings",
    "Computed",
    "Entry",
    "Hit",
    "Layer",
    "LayerStatistics",
    "MemoryLayer",
    "cache_key",
    "open_cache",
]
