"""What a proof can fail with.

* ProofError        a proof does not prove what it should
  + NoteError       a signed note is malformed, or not signed by the key
  + ReceiptError    a receipt does not hold
"""


class ProofError(ValueError):
    """A proof does not prove what it should."""


class NoteError(ProofError):
    """A signed note is malformed, or no signature of the trusted key holds."""


class ReceiptError(ProofError):
    """A receipt does not hold, or is not a receipt."""
