"""Keys of a home, as commands need them."""

from arenalab.ledger.config import LedgerConfig
from arenalab.ledger.keys import load_signer
from arenalab.local.home import Home


def log_public_key(home: Home) -> str:
    """Returns the verifier key of the home's log.

    Raises:
        PreconditionError: MISSING_KEY; the home has none.
    """
    return str(load_signer(home.ledger_key, LedgerConfig.origin).verifier_key)
