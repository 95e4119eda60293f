r"""The lines of a segment: entries, and the checkpoint that ends every batch of them.

    {"content":BASE64,"hash":HEX,"index":N,"leaf":{…}}
    {"checkpoint":"origin\nsize\nroot\n\n— origin signature\n"}

Both are canonical JSON. A reader of entries needs no JSON parser: the keys are in
one known order and the leaf, which ends in fields of fixed form, is taken as the
bytes that were hashed. `hash` repeats the leaf's hash, so that damage is found in
the line where it is, not only in its batch; `content` is bound by the leaf.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

from arenalab.atomic import canonical_json

_ENTRY: Final = re.compile(
    rb'\{"content":"([A-Za-z0-9+/]+={0,2})","hash":"([0-9a-f]{64})",'
    rb'"index":(0|[1-9][0-9]{0,18}),'
    rb'"leaf":(\{"content":\{[^}]*\},"entry_id":("(?:[^"\\]|\\.)*"),"facts":(\{.*\}),'
    rb'"kind":"[a-z0-9_.-]{1,64}","sealed":"([0-9a-f]{64})","subject":"[0-9a-f]{64}",'
    rb'"tenant":"([a-z0-9_-]{1,64})","time":"[0-9TZ:.-]{20,30}","v":1\})\}\n'
)
_CHECKPOINT_START: Final = b'{"checkpoint":"'


@dataclass(frozen=True, slots=True)
class EntryLine:
    """An entry as it is written."""

    index: int
    leaf: bytes
    hash_hex: str  # recorded hash of the leaf
    sealed: bytes  # private part, in base64
    sealed_hex: str  # hash of it, recorded in the leaf
    tenant: str
    entry_id_json: bytes  # as in the leaf, quoted
    facts: bytes  # as in the leaf


@dataclass(frozen=True, slots=True)
class CheckpointLine:
    """A checkpoint as it is written."""

    note: str


def encode_entry(index: int, leaf: bytes, leaf_hash: bytes, sealed: bytes) -> bytes:
    """Returns the line of an entry."""
    return b'{"content":"%b","hash":"%b","index":%d,"leaf":%b}\n' % (
        sealed,
        leaf_hash.hex().encode(),
        index,
        leaf,
    )


def encode_checkpoint(note: str) -> bytes:
    """Returns the line of a checkpoint."""
    return canonical_json({"checkpoint": note}) + b"\n"


def parse_line(line: bytes) -> EntryLine | CheckpointLine | None:
    """Returns what a line says, or None if it is not a whole line of a segment."""
    found = _ENTRY.fullmatch(line)
    if found is not None:
        sealed, hash_hex, index, leaf, entry_id, facts, sealed_hex, tenant = found.groups()
        return EntryLine(
            int(index), leaf, hash_hex.decode(), sealed, sealed_hex.decode(), tenant.decode(),
            entry_id, facts,
        )  # fmt: skip
    if line.startswith(_CHECKPOINT_START):
        return _parse_checkpoint(line)
    return None


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
