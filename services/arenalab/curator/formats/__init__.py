"""The formats that can be ingested: one module each, all of them push readers.

A reader is fed the bytes of a file as they come and yields rows, rejects and skips;
it never holds more than one row. `open_reader` picks the one of a format.
"""

from arenalab.curator.formats.registry import Format, open_reader
from arenalab.curator.formats.rows import Item, Origin, Reader, Reject, Row, Skip

__all__ = ["Format", "Item", "Origin", "Reader", "Reject", "Row", "Skip", "open_reader"]
