r"""The lines of a segment: entries, and the checkpoint that ends every batch of them.

    {"content":[OFFSET,BYTES],"hash":HEX,"key":HEX,"leaf":{…}}
    {"checkpoint":"origin\nsize\nroot\n\n— origin signature\n"}

Both are canonical JSON. `hash` repeats the leaf's hash, so that damage is found in
the line where it is, not only in its batch. `content` says where the private part
lies in the content file of the segment, and `key` which subject's key encrypts it;
the leaf binds both by the hash of the private part, which begins with the key's id.

The keys of a leaf come in one known order, and those behind `facts` hold no free
text. So what a reader of many lines needs is taken from fixed places, without a JSON
parser.

Standard library only: the stand-alone verifier reads lines too.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

LEAF_VERSION: Final = 2
# The most that an entry bundle of the tlog-tiles layout can carry.
MAX_LEAF_BYTES: Final = 65_535
_NS_PER_S: Final = 1_000_000_000
HEX_HASH: Final = 64
SEALED: Final = b'"sealed":"'

ENTRY_HEAD: Final = re.compile(
    rb'\{"content":\[(0|[1-9][0-9]{0,14}),(0|[1-9][0-9]{0,8})\],'
    rb'"hash":"([0-9a-f]{64})","key":"([0-9a-f]{32})","leaf":'
)
_LEAF: Final = re.compile(
    rb'\{"commitments":\{[^}]*\},"config_digest":"(?:[^"\\]|\\.)*",'
    rb'"dataset_version":"[0-9a-f]{0,64}","entry_id":"(?:[^"\\]|\\.)*",'
    rb'"evidence_ids":\[.*\],"facts":\{.*\},"index":(0|[1-9][0-9]{0,18}),'
    rb'"kind":"[a-z]{1,32}","model_digest":"(?:[^"\\]|\\.)*","parent_id":"(?:[^"\\]|\\.)*",'
    rb'"scope":"[a-z0-9_-]{1,64}","sealed":"([0-9a-f]{64})","subject":"[0-9a-f]{64}",'
    rb'"time":"[0-9TZ:.-]{20,30}","trace_id":"[0-9a-f]{0,32}","v":2\}',
    re.DOTALL,
)
CHECKPOINT_HEAD: Final = b'{"checkpoint":"'


@dataclass(frozen=True, slots=True)
class EntryLine:
    """An entry as it is written."""

    offset: int  # of the private part, in the segment's content file
    content_bytes: int
    hash_hex: str  # recorded hash of the leaf
    key_id: bytes
    leaf: bytes
    index: int
    sealed_hex: str  # hash of the private part, recorded in the leaf

    def fields(self) -> dict[str, Any]:
        """Returns the leaf, parsed."""
        fields: dict[str, Any] = json.loads(self.leaf)
        return fields


@dataclass(frozen=True, slots=True)
class CheckpointLine:
    """A checkpoint as it is written."""

    note: str


def time_ns(text: str) -> int:
    """Returns a leaf's time in nanoseconds since the epoch."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    return seconds * _NS_PER_S + int(fraction.ljust(9, "0") or "0")


def encode_entry(
    leaf: bytes, leaf_hash: bytes, key_id: bytes, offset: int, content_bytes: int
) -> bytes:
    """Returns the line of an entry."""
    return b'{"content":[%d,%d],"hash":"%b","key":"%b","leaf":%b}\n' % (
        offset,
        content_bytes,
        leaf_hash.hex().encode(),
        key_id.hex().encode(),
        leaf,
    )


def encode_checkpoint(note: str) -> bytes:
    """Returns the line of a checkpoint."""
    # As RFC 8785 has it: a note holds no control character but the newline.
    text = json.dumps({"checkpoint": note}, ensure_ascii=False, separators=(",", ":"))
    return text.encode() + b"\n"


def parse_line(line: bytes) -> EntryLine | CheckpointLine | None:
    """Returns what a line says, or None if it is not a whole line of a segment."""
    head = ENTRY_HEAD.match(line)
    if head is not None:
        return _parse_entry(line, head)
    if line.startswith(CHECKPOINT_HEAD):
        return _parse_checkpoint(line)
    return None


def _parse_entry(line: bytes, head: "re.Match[bytes]") -> EntryLine | None:
    leaf = line[head.end() : -2]
    found = _LEAF.fullmatch(leaf)
    if found is None or line[-2:] != b"}\n":
        return None
    offset, content_bytes, hash_hex, key_id = head.groups()
    index, sealed_hex = found.groups()
    return EntryLine(
        int(offset),
        int(content_bytes),
        hash_hex.decode(),
        bytes.fromhex(key_id.decode()),
        leaf,
        int(index),
        sealed_hex.decode(),
    )


def _parse_checkpoint(line: bytes) -> CheckpointLine | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    note = value.get("checkpoint")
    # Only the canonical spelling: nothing may change in a line without being seen.
    if not isinstance(note, str) or encode_checkpoint(note) != line:
        return None
    return CheckpointLine(note)
