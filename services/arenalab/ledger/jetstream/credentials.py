"""A NATS credentials file: a user's JWT, and the seed of the key that answers challenges.

Signs with PyNaCl; the client's own reader of such files needs a package more.
"""

import base64
import binascii
import re
from pathlib import Path
from typing import Final

from nacl.signing import SigningKey

from arenalab.mesh import ConfigError

_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z ]+)-----\s+(\S+)\s+-+END \1-+")
_SEED_BYTES: Final = 32
_PREFIX_BYTES: Final = 2  # of a seed: that it is one, and whose
_CRC_BYTES: Final = 2


class Credentials:
    """A user; its seed shows up in no message."""

    def __init__(self, path: Path) -> None:
        """Reads a .creds file.

        Raises:
            ConfigError: It is not there, or not one.
        """
        try:
            blocks = dict(_BLOCK.findall(path.read_text("ascii")))
            self._jwt: bytes = blocks["NATS USER JWT"].encode()
            self._key = SigningKey(_seed(blocks["USER NKEY SEED"]))
        except (OSError, KeyError, ValueError) as error:
            # Without the error's text, which may quote the file.
            kind = type(error).__name__
            raise ConfigError(f"{path} is not a NATS credentials file ({kind})") from None

    def jwt(self) -> bytes:
        """Returns who the user is."""
        return self._jwt

    def sign(self, nonce: str) -> bytes:
        """Returns the signature of a server's challenge, in Base64."""
        return base64.b64encode(bytes(self._key.sign(nonce.encode()).signature))


def _seed(text: str) -> bytes:
    raw = base64.b32decode(text + "=" * (-len(text) % 8))
    body, crc = raw[:-_CRC_BYTES], raw[-_CRC_BYTES:]
    if int.from_bytes(crc, "little") != binascii.crc_hqx(body, 0):
        raise ValueError("the seed's checksum does not hold")
    if len(body) != _PREFIX_BYTES + _SEED_BYTES:
        raise ValueError("the seed does not have 32 bytes")
    return body[_PREFIX_BYTES:]
