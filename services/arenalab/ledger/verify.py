"""Verification offline: a whole log, or one receipt, with public keys and nothing else.

    python -m arenalab.ledger.verify --public-key KEY DIRECTORY
    python -m arenalab.ledger.verify --public-key KEY --receipt FILE

Needs blake3 and pynacl alone, no other package and no service: an auditor may copy
`arenalab/proof` and `arenalab/ledger` and run this. Ends with 0 when all is valid, 1
when something is wrong, 2 when it cannot tell.
"""

import argparse
import errno
import json
import multiprocessing
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from arenalab.ledger.high_water import read_high_water
from arenalab.ledger.packing import lines_bytes, open_lines
from arenalab.ledger.replay import Problem, Replay, Replayed
from arenalab.ledger.scan import Scanned, scan_segment
from arenalab.ledger.segment_files import SegmentFiles, list_segments
from arenalab.proof import (
    Checkpoint,
    NoteError,
    ProofError,
    Receipt,
    VerifierKey,
    open_checkpoint,
    parse_checkpoint,
    receipt_from_json,
    split_note,
    verify_receipt,
)

# Below this one process is done before others have started.
_ALONE_BYTES: Final = 16 * 1024 * 1024
_INDEX: Final = re.compile(rb'.*,"index":([0-9]{1,19}),"kind":"', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked, and what is wrong."""

    entries: int
    checkpoints: int
    problems: tuple[Problem, ...]
    torn_bytes: int  # after the last checkpoint; never acknowledged, dropped at the next start

    @property
    def valid(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify_directory(
    directory: Path,
    public_keys: str | Iterable[str],
    *,
    known: Sequence[str] = (),
    processes: int | None = None,
) -> Verification:
    """Checks every line, hash, private part, checkpoint signature and root of a log.

    Args:
        directory: Where the segments and the high-water mark are.
        public_keys: One or more "name+hash+base64", as known beforehand: every key
            that ever signed the log.
        known: Checkpoints of this log that were seen before, e.g. those of receipts. A log
            that was cut and sealed again holds by itself; it does not hold these.
        processes: How many read side by side; by default one a core, and one for a
            log that is small or where this process has threads.

    Raises:
        NoteError: A public key is malformed, or a known checkpoint is not the log's.
        OSError: The directory cannot be read, or is not there.
    """
    texts = [public_keys] if isinstance(public_keys, str) else list(public_keys)
    keys = [VerifierKey.parse(text) for text in texts]
    if not directory.is_dir():  # else it would pass for an empty log
        raise FileNotFoundError(errno.ENOENT, "no ledger is there", str(directory))
    # The mark first: what a running ledger appends meanwhile only makes the log longer.
    mark = read_high_water(directory, keys)
    segments = list_segments(directory)
    genuine: set[str] = set()

    def open_note(note: str) -> Checkpoint:
        if note in genuine:  # a worker verified it
            genuine.discard(note)
            return parse_checkpoint(split_note(note)[0])
        return open_checkpoint(note, keys)

    replay = Replay(open_note)
    for (number, files), (quick, notes) in zip(
        enumerate(segments), _read(segments, keys, replay, processes), strict=True
    ):
        genuine.update(notes)
        if not replay.take(number, files, quick):
            replay.read(number, files)
    found = replay.finish(segments, mark[0] if mark is not None else None)
    seen = [open_checkpoint(note, keys) for note in known]
    problems = (*found.problems, *_contradictions(found, seen))
    return Verification(found.entries, found.checkpoints, problems, found.torn_bytes)


def _contradictions(found: Replayed, seen: Sequence[Checkpoint]) -> Iterator[Problem]:
    for checkpoint in seen:
        size = checkpoint.size
        if size > found.size:
            message = f"the log ends after {found.size} leaves, but {size} were sealed"
        elif found.tree.size >= size and size and found.tree.root(size) != checkpoint.root:
            message = f"the first {size} leaves are not those of a checkpoint that was seen"
        else:
            continue
        yield Problem("", 0, min(size, found.size), message)


_Read = tuple[Scanned, list[str]]


def _read(
    segments: Sequence[SegmentFiles],
    keys: Sequence[VerifierKey],
    replay: Replay,
    processes: int | None,
) -> Iterator[_Read]:
    """Yields each segment as scanned, and its notes whose signatures hold."""
    size = sum(lines_bytes(files.lines) for files in segments)
    if processes is None:
        alone = size < _ALONE_BYTES or threading.active_count() > 1
        processes = 1 if alone else os.cpu_count() or 1
    if processes == 1:
        for files in segments:
            yield scan_segment(files.lines, files.content, replay.next_leaf), []
        return
    # Forked, so that no worker imports the caller's main module again; there is no other
    # thread, or the caller asked for it.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        firsts = [_first_leaf(files) for files in segments]
        yield from pool.map(_scan, segments, firsts, [list(keys)] * len(segments))


def _first_leaf(files: SegmentFiles) -> int:
    """Returns the index in a segment's first line; what is not there is found out later."""
    with open_lines(files.lines) as file:
        found = _INDEX.match(file.readline(1 << 20))
    return int(found[1]) if found else 0


def _scan(files: SegmentFiles, first: int, keys: Sequence[VerifierKey]) -> _Read:
    quick = scan_segment(files.lines, files.content, first)
    genuine = []
    for batch in quick.batches:
        try:
            open_checkpoint(batch.note, keys)
        except NoteError:
            continue
        genuine.append(batch.note)
    return quick, genuine


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m arenalab.ledger.verify",
        description="Check a log, or one receipt, offline.",
    )
    parser.add_argument("directory", nargs="?", type=Path, help="of the log")
    parser.add_argument("--receipt", type=Path, help="check this receipt instead")
    parser.add_argument(
        "--public-key", action="append", default=[], help="name+hash+base64; may be repeated"
    )
    parser.add_argument("--public-keys", type=Path, help="file with one key a line")
    parser.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        type=Path,
        help="of this log, seen before: a note, or a receipt; may be repeated",
    )
    parser.add_argument("--processes", type=int, help="default: one a core")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    keys = [*options.public_key, *_keys_in(options.public_keys)]
    if not keys or (options.directory is None) == (options.receipt is None):
        parser.error("a public key, and either a directory or a receipt, must be given")
    try:
        if options.receipt is not None:
            return _verify_receipt(options.receipt, keys, as_json=options.json)
        found = verify_directory(
            options.directory,
            keys,
            known=[read_checkpoint(path) for path in options.checkpoint],
            processes=options.processes,
        )
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return _tell(found, print_json if options.json else print_text)


def _keys_in(path: Path | None) -> list[str]:
    if path is None:
        return []
    lines = (line.split("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    return [line for line in lines if line]


def read_checkpoint(path: Path) -> str:
    """Returns the note in a file: the file itself, or the checkpoint of a receipt.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is JSON, and no receipt.
    """
    text = path.read_text("utf-8")
    return receipt_in(text).checkpoint if text.lstrip().startswith("{") else text


def receipt_in(text: str | bytes) -> Receipt:
    """Returns the receipt in a JSON text: a receipt, or a whole completion that has one.

    Raises:
        ValueError: There is none.
    """
    value = json.loads(text)
    for name in ("arenalab", "receipt"):
        if isinstance(value, dict) and name in value:
            value = value[name]
    return receipt_from_json(value)


def _verify_receipt(path: Path, keys: Sequence[str], *, as_json: bool) -> int:
    try:
        receipt = receipt_in(path.read_bytes())
        verify_receipt(receipt, keys)
    except ProofError as error:
        verdict: dict[str, object] = {"valid": False, "message": str(error)}
    else:
        verdict = {"valid": True, "leaf_index": receipt.leaf_index}
    text = "NOT valid: {message}" if "message" in verdict else "valid: leaf {leaf_index}"
    sys.stdout.write(f"{json.dumps(verdict) if as_json else text.format_map(verdict)}\n")
    return 0 if verdict["valid"] else 1


def _tell(found: Verification, tell: Callable[[Verification], str]) -> int:
    sys.stdout.write(f"{tell(found)}\n")
    return 0 if found.valid else 1


def print_json(found: Verification) -> str:
    """Returns a verification as one JSON object."""
    return json.dumps({"valid": found.valid, **asdict(found)})


def print_text(found: Verification) -> str:
    """Returns a verification for people."""
    lines = [f"{p.file} at byte {p.offset}: {p.message}" for p in found.problems]
    verdict = "valid" if found.valid else "NOT valid"
    lines.append(f"{verdict}: {found.entries:,} entries, {found.checkpoints:,} checkpoints")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
