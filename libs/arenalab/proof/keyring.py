"""The keys of one log over its time: one that signs, some that still do, some that did."""

from collections.abc import Sequence

from arenalab.proof.errors import NoteError
from arenalab.proof.note import Signer, VerifierKey


class KeyRing:
    """Signs with every active key of a log, and knows all that ever signed.

    While a key is replaced, old and new sign together: who trusts only one of them
    can still verify. All share the log's origin as their name and differ by their
    hash.
    """

    def __init__(
        self,
        current: Signer,
        overlapping: Sequence[Signer] = (),
        retired: Sequence[VerifierKey] = (),
    ) -> None:
        """Puts a ring together.

        Args:
            current: Signs first.
            overlapping: Keys that were replaced and sign too for a while.
            retired: Keys that sign no more.

        Raises:
            NoteError: The keys do not share one name, or one is there twice.
        """
        self._signers = (current, *overlapping)
        self._keys = (*(signer.verifier_key for signer in self._signers), *retired)
        if names := {key.name for key in self._keys} - {self.name}:
            raise NoteError(f"the keys of {self.name} must share its name, got {sorted(names)}")
        if len({key.key_hash for key in self._keys}) < len(self._keys):
            raise NoteError(f"a key of {self.name} is there twice")

    @property
    def name(self) -> str:
        """The origin of the log."""
        return self.verifier_key.name

    @property
    def verifier_key(self) -> VerifierKey:
        """The key that signs first."""
        return self._keys[0]

    @property
    def verifier_keys(self) -> tuple[VerifierKey, ...]:
        """Every key that ever signed, the current one first."""
        return self._keys

    def sign(self, text: str) -> str:
        """Returns the note of `text`, which must end in a newline, signed by every active key."""
        lines = "".join([signer.signature_line(text) for signer in self._signers])
        return f"{text}\n{lines}"
