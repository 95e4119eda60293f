"""The tables of the span store.

`spans` holds parts: the spans of one published version, or those added online to one
collection. `collections` names the parts that are live; a part that it does not name is
left over from a version that was replaced, and is removed in the background.

`changes` is the log since the publication of the live version: which row was removed,
weighed or hidden in which generation. A segment file holds rows as they were in one
generation; at start, what the log has after it is done again, and the rows that it does
not hold are read.
"""

from typing import Final

# "ALsp": tells our file from any other SQLite file.
APPLICATION_ID: Final = 0x414C7370
SCHEMA_VERSION: Final = 2

TABLES: Final = ("changes", "collections", "logs", "parts", "spans")

SCHEMA: Final = """
CREATE TABLE parts (
  part INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant TEXT NOT NULL,
  dataset TEXT NOT NULL,
  version TEXT NOT NULL                -- 64 hex digits, or 'added'
) STRICT;
CREATE TABLE collections (
  tenant TEXT NOT NULL,
  dataset TEXT NOT NULL,
  version TEXT NOT NULL,
  published_at_ns INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  embedder_id TEXT NOT NULL,
  embedder_digest TEXT NOT NULL,
  dimension INTEGER NOT NULL,
  live_part INTEGER NOT NULL REFERENCES parts,
  added_part INTEGER NOT NULL REFERENCES parts,
  PRIMARY KEY (tenant, dataset)
) STRICT;
CREATE TABLE spans (
  rowid INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: caches are keyed by it
  part INTEGER NOT NULL REFERENCES parts,
  ordinal INTEGER,                     -- row in the version's vectors; NULL: added
  span_id TEXT NOT NULL,
  domain TEXT NOT NULL,
  action TEXT NOT NULL,
  status INTEGER NOT NULL,
  when_s INTEGER NOT NULL,
  when_ns INTEGER NOT NULL,
  quality REAL,
  tags TEXT NOT NULL,
  outcome_key INTEGER NOT NULL,
  source TEXT NOT NULL,
  creature TEXT NOT NULL,
  weight REAL NOT NULL DEFAULT 1,
  hidden INTEGER NOT NULL DEFAULT 0,   -- 1: in quarantine
  payload BLOB NOT NULL,               -- arenalab.api.common.v1.Span
  vector BLOB                          -- float32, little-endian; of added spans only
) STRICT;
CREATE UNIQUE INDEX spans_by_id ON spans (part, span_id);
CREATE INDEX marked_spans ON spans (part) WHERE weight != 1 OR hidden != 0;
CREATE TABLE changes (
  added_part INTEGER NOT NULL,         -- of the collection
  generation INTEGER NOT NULL,         -- of its last change
  span_row INTEGER NOT NULL            -- rowid of a span that was removed, weighed or hidden
) STRICT;
CREATE TABLE logs (
  added_part INTEGER PRIMARY KEY,      -- of the collection
  begins INTEGER NOT NULL              -- generation up to which changes are forgotten
) STRICT;
CREATE UNIQUE INDEX changes_by_row ON changes (added_part, span_row);
"""

PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    # An acknowledged span must survive a power cut, not only a crash.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA journal_size_limit = 67108864",
)
