"""Reads the two published files of a model: safetensors weights and tokenizer.json."""

import json
import struct

import numpy as np
import numpy.typing as npt

_HEADER_SIZE_BYTES = 8


def read_safetensors(content: bytes) -> dict[str, npt.NDArray[np.float32]]:
    """Returns the float32 tensors by name.

    The format: header length as little-endian u64, a JSON header with dtype, shape and byte range
    of each tensor, then the raw little-endian data. Source: the safetensors README.
    """
    (header_bytes,) = struct.unpack_from("<Q", content)
    data_start = _HEADER_SIZE_BYTES + header_bytes
    header = json.loads(content[_HEADER_SIZE_BYTES:data_start])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        start, end = entry["data_offsets"]
        raw = content[data_start + start : data_start + end]
        tensors[name] = np.frombuffer(raw, "<f4").reshape(entry["shape"])
    return tensors


def read_vocabulary(tokenizer_json: bytes) -> str:
    """Returns the word pieces one a line, in the order of their ids."""
    pieces: dict[str, int] = json.loads(tokenizer_json)["model"]["vocab"]
    return "".join(f"{piece}\n" for piece in sorted(pieces, key=pieces.__getitem__))
