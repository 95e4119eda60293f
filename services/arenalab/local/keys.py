"""Keys of a home, as commands need them."""

from typing import Final

from arenalab.ledger.keys import load_signer
from arenalab.local.home import Home

# The log's name: first line of every checkpoint, and part of its verifier key.
LOG_ORIGIN: Final = "arenalab.local/log"


def log_public_key(home: Home) -> str:
    """Returns the verifier key of the home's log.

    Raises:
        PreconditionError: MISSING_KEY; the home has none.
    """
    return str(load_signer(home.ledger_key, LOG_ORIGIN).verifier_key)
