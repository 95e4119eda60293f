"""Cosignatures of witnesses, as c2sp.org/tlog-cosignature has them (Ed25519, type 0x04).

A witness says that at a time the largest tree it saw of a log, each one a
continuation of the one before, has this size and root. A log that shows two faces
cannot have both cosigned by one honest witness.

It signs these bytes, the last three lines being the text of the checkpoint:

    cosignature/v1
    time 1679315147
    example.com/behind-the-sofa
    20852163
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

and its line in the note holds, in base64, the key hash (4 bytes), the time (8 bytes,
big-endian, seconds since 1970) and the signature (64 bytes).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from nacl.signing import SigningKey

from arenalab.proof.errors import NoteError
from arenalab.proof.note import Ed25519Key, parse_checkpoint, signature_line, split_note

_TIME_BYTES: Final = 8
_MAX_TIME_S: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class WitnessKey(Ed25519Key):
    """The public key of a witness."""

    key_type: ClassVar[bytes] = b"\x04"

    def time_of(self, text: str, signature: bytes) -> int:
        """Returns when this witness cosigned a checkpoint's text, in seconds since 1970.

        Raises:
            NoteError: The cosignature does not hold.
        """
        time_s = int.from_bytes(signature[:_TIME_BYTES], "big")
        if time_s > _MAX_TIME_S:
            raise NoteError(f"the cosignature of {self.name} has no time that can be")
        self.check(_message(text, time_s), signature[_TIME_BYTES:])
        return time_s


class Cosigner:
    """Cosigns checkpoints with an Ed25519 seed, used for nothing else, under a name."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._key = SigningKey(seed)
        self.witness_key = WitnessKey(name, self._key.verify_key.encode())

    def cosign(self, text: str, time_s: int) -> str:
        """Returns the signature line for the text of a checkpoint, with its newline.

        Args:
            text: As in the note, with its last newline.
            time_s: Seconds since 1970, not negative.

        Raises:
            NoteError: The text is no checkpoint, or the time cannot be.
        """
        parse_checkpoint(text)
        if not 0 <= time_s <= _MAX_TIME_S:
            raise NoteError(f"a time must be in [0, 2^63), got {time_s}")
        signature = self._key.sign(_message(text, time_s)).signature
        stamped = time_s.to_bytes(_TIME_BYTES, "big") + signature
        return signature_line(self.witness_key.name, self.witness_key.key_hash, stamped)


def cosignature_times(note: str, witnesses: Iterable[WitnessKey]) -> dict[WitnessKey, int]:
    """Returns when each witness that cosigned a checkpoint did so, the last time if often.

    Raises:
        NoteError: The note is no checkpoint, or a cosignature of one of these fails.
    """
    text, signatures = split_note(note)
    parse_checkpoint(text)
    by_id = {(key.name, key.key_hash): key for key in witnesses}
    times: dict[WitnessKey, int] = {}
    for name, key_hash, signature in signatures:
        if key := by_id.get((name, key_hash)):
            times[key] = max(key.time_of(text, signature), times.get(key, 0))
    return times


def add_cosignatures(note: str, lines: str, witnesses: Sequence[WitnessKey]) -> str:
    """Returns the note with those of the lines that these witnesses signed.

    Args:
        note: A checkpoint, kept as it is.
        lines: Signature lines as a witness returned them; those of others are left out.
        witnesses: Whose cosignatures are taken; an earlier one of theirs gives way.

    Raises:
        NoteError: The lines are malformed, hold no cosignature of these witnesses, or
            one that fails.
    """
    text, blank, had = note.rpartition("\n\n")
    times = cosignature_times(f"{text}{blank}{lines}", witnesses)
    if not times:
        raise NoteError("the lines hold no cosignature of the witness")
    newest = {(key.name, key.key_hash, time_s) for key, time_s in times.items()}
    names = {(key.name, key.key_hash) for key in times}
    kept = [line for line in had.splitlines() if _key_and_time(line)[:2] not in names]
    added = {_key_and_time(line): line for line in lines.splitlines()}
    kept += [line for identity, line in added.items() if identity in newest]
    grown = f"{text}{blank}" + "".join(f"{line}\n" for line in kept)
    split_note(grown)  # not more signatures than a note may have
    return grown


@dataclass(frozen=True, slots=True)
class WitnessPolicy:
    """How many of which witnesses must have seen a checkpoint before it is believed."""

    witnesses: tuple[WitnessKey, ...]
    threshold: int

    def __post_init__(self) -> None:
        names = len({key.name for key in self.witnesses})
        if not 0 <= self.threshold <= names:
            raise NoteError(f"a threshold must be in [0, {names}], got {self.threshold}")

    def verify(self, note: str) -> Mapping[str, int]:
        """Returns when the named witnesses cosigned, in seconds since 1970.

        Two keys of one name are one witness. How old a time may be is for the caller
        to say; so is whose checkpoint it is: see `open_checkpoint`.

        Raises:
            NoteError: Fewer cosigned than the policy asks, or a cosignature fails.
        """
        times: dict[str, int] = {}
        for key, time_s in cosignature_times(note, self.witnesses).items():
            times[key.name] = max(time_s, times.get(key.name, 0))
        if len(times) < self.threshold:
            found = ", ".join(sorted(times)) or "none"
            raise NoteError(f"{self.threshold} witnesses must cosign, found {found}")
        return times


def _message(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def _key_and_time(line: str) -> tuple[str, bytes, int]:
    _, [(name, key_hash, signature)] = split_note(f"x\n\n{line}\n")
    return name, key_hash, int.from_bytes(signature[:_TIME_BYTES], "big")
