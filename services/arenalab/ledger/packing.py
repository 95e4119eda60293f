"""Compressed segments: closed lines as Zstandard frames that can be read one by one.

`00000000.ndjson.zst` is what `zstd -d` makes `00000000.ndjson` of again. Each frame
holds whole lines; a seek table in a skippable frame at the end says how long each is,
as Zstandard's seekable format has it. So one line costs one frame.

Zstandard is loaded when a compressed segment is met: without one, the stand-alone
verifier needs no more than blake3 and pynacl.
"""

import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from arenalab.ledger.disk import sync_directory, write_durably

SUFFIX: Final = ".zst"
FRAME_BYTES: Final = 128 * 1024
_SKIPPABLE: Final = 0x184D2A5E
_SEEKABLE: Final = 0x8F92EAB1
_ENTRY: Final = struct.Struct("<II")  # compressed and plain size of a frame
_HEADER: Final = struct.Struct("<II")  # magic, size of what follows
_FOOTER: Final = struct.Struct("<IBI")  # frames, flags, magic


class PackedError(OSError):
    """A compressed segment cannot be read: it is damaged, or Zstandard is not installed."""


def packed_path(lines: Path) -> Path:
    """Returns where the compressed form of a file of lines is."""
    return lines.with_name(lines.name + SUFFIX)


def is_packed(lines: Path) -> bool:
    """Returns whether only the compressed form is there."""
    return not lines.exists() and packed_path(lines).exists()


def lines_bytes(lines: Path) -> int:
    """Returns how many bytes the lines have, compressed or not; none if that is damaged.

    Whoever reads the lines then is told.

    Raises:
        OSError: There is neither form.
    """
    if not is_packed(lines):
        return lines.stat().st_size
    try:
        return sum(plain for _, plain in _seek_table(packed_path(lines)))
    except PackedError:
        return 0


def read_lines(lines: Path) -> bytes:
    """Returns all lines, compressed or not.

    Raises:
        PackedError: The compressed form is damaged.
        OSError: There is neither form.
    """
    if not is_packed(lines):
        return lines.read_bytes()
    path = packed_path(lines)
    table = _seek_table(path)
    with path.open("rb") as file:
        return b"".join(_plain(file.read(packed), plain) for packed, plain in table)


def open_lines(lines: Path) -> BinaryIO:
    """Returns the lines as a file to read, compressed or not.

    A compressed form that is damaged reads as empty.

    Raises:
        OSError: There is neither form.
    """
    if not is_packed(lines):
        return lines.open("rb")
    try:
        return BytesIO(read_lines(lines))
    except PackedError:
        return BytesIO()


def read_packed_line(lines: Path, offset: int) -> bytes:
    """Returns the line that starts at a byte of the plain form.

    Raises:
        PackedError: It is damaged.
    """
    path = packed_path(lines)
    start = at = 0
    for packed, plain in _seek_table(path):
        if offset < at + plain:
            with path.open("rb") as file:
                file.seek(start)
                data = _plain(file.read(packed), plain)
            end = data.find(b"\n", offset - at)
            return data[offset - at : end + 1]
        start, at = start + packed, at + plain
    return b""


def pack(lines: Path) -> None:
    """Puts the compressed form in the place of a file of lines that grows no more.

    Raises:
        OSError: The disk refused; the plain form is still there.
    """
    import zstandard

    compressor = zstandard.ZstdCompressor(write_checksum=True)
    parts, table = [], []
    for frame in _frames(lines.read_bytes()):
        parts.append(compressor.compress(frame))
        table.append(_ENTRY.pack(len(parts[-1]), len(frame)))
    body = b"".join(table) + _FOOTER.pack(len(table), 0, _SEEKABLE)
    parts.append(_HEADER.pack(_SKIPPABLE, len(body)) + body)
    packed = packed_path(lines)
    write_durably(packed, b"".join(parts))
    packed.chmod(0o400)
    lines.unlink()
    sync_directory(lines.parent)


def _frames(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = data.find(b"\n", min(start + FRAME_BYTES, len(data)) - 1) + 1
        yield data[start:end]
        start = end


def _plain(frame: bytes, size: int) -> bytes:
    try:
        import zstandard
    except ModuleNotFoundError as error:
        raise PackedError("a compressed segment needs the package zstandard") from error
    try:
        data: bytes = zstandard.ZstdDecompressor().decompress(frame, max_output_size=size)
    except zstandard.ZstdError as error:
        raise PackedError(f"a compressed segment is damaged: {error}") from error
    if len(data) != size:
        raise PackedError("a compressed segment is damaged: a frame has another size")
    return data


def _seek_table(path: Path) -> list[tuple[int, int]]:
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - _FOOTER.size))
        footer = file.read()
        if len(footer) != _FOOTER.size:
            raise PackedError(f"{path.name} is cut short")
        count, flags, magic = _FOOTER.unpack(footer)
        start = end - _FOOTER.size - count * _ENTRY.size - _HEADER.size
        if (magic, flags) != (_SEEKABLE, 0) or start < 0:
            raise PackedError(f"{path.name} has no seek table")
        file.seek(start)
        header = _HEADER.unpack(file.read(_HEADER.size))
        table = list(_ENTRY.iter_unpack(file.read(count * _ENTRY.size)))
    body_bytes = count * _ENTRY.size + _FOOTER.size
    # Nothing may change in the file without being seen.
    if header != (_SKIPPABLE, body_bytes) or sum(packed for packed, _ in table) != start:
        raise PackedError(f"the seek table of {path.name} does not fit it")
    return table
