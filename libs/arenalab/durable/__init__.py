"""Small files that survive a crash: made or replaced whole, or appended to."""

from arenalab.durable.files import append, create, remove_left_over, replace, sync_folder

__all__ = ["append", "create", "remove_left_over", "replace", "sync_folder"]
