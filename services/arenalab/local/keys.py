"""Keys of a home, as commands need them."""

from arenalab.ledger.config import LedgerConfig
from arenalab.ledger.keys import public_keys
from arenalab.local.home import Home


def log_public_keys(home: Home) -> list[str]:
    """Returns every verifier key that may have signed the home's log, the current one first.

    Raises:
        PreconditionError: MISSING_KEY; the home has none.
    """
    return [str(key) for key in public_keys(home.ledger_key, LedgerConfig.origin)]


def log_public_key(home: Home) -> str:
    """Returns the verifier key that signs the home's log now.

    Raises:
        PreconditionError: MISSING_KEY; the home has none.
    """
    return log_public_keys(home)[0]
