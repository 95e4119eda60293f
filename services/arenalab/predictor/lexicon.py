"""The words that the matcher knows: small lists, of words that hardly ever mean anything else."""

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


HIGH_STAKES: Final = _words("""
    emergency production outage breach fraud stolen legal lawsuit medical patient irreversible
    delete destroy leak leaked urgent hacked
""")

# A turn that opens with one of these goes on from the turn before.
FOLLOW_UPS: Final = (
    ("and",),
    ("or",),
    ("but",),
    ("also",),
    ("then",),
    ("same",),
    ("only",),
    ("instead",),
    ("what", "about"),
    ("how", "about"),
    ("what", "if"),
)
POINTERS: Final = _words("it they them he she him her")
# Pointers only where they stand alone: "undo that", but not "that invoice".
DETERMINERS: Final = _words("this that these those")
