"""Small files that survive a crash: replaced whole, or appended to a line at a time."""

from arenalab.durable.files import append, remove_left_over, replace, sync_folder

__all__ = ["append", "remove_left_over", "replace", "sync_folder"]
