"""The words that the matcher knows: small lists, of words that hardly ever mean anything else."""

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# They carry no meaning of their own.
FILLERS: Final = _words("""
    a an the of in at by for with and or is are was were be been being am do does did done have has
    had can could will would shall should may might must i me my mine we us our you your he she it
    its they them their this that these those there here what which who whom whose when where why
    how please just so if as from to into about get got let s t d ll m re ve want need like tell
    know not no on any some
""")

NEGATIONS: Final = _words("""
    not never without no cannot neither nor none nothing except unless avoid cant dont doesnt isnt
    wont shouldnt mustnt didnt arent wasnt
""")

# "I don't know where …" asks where: a negation before these is of the asker's knowledge.
KNOWING: Final = _words("""
    know sure find remember recall understand figure see think believe matter mind tell seem
""")

NUMBERS: Final = {
    word: str(value)
    for value, word in enumerate(
        (
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
        ),
        start=2,
    )
}

# Negations ("with" and "without") and directions ("before" and "after") are left out: they would
# count twice.
OPPOSITES: Final = tuple(
    (left, right)
    for left, _, right in (
        pair.partition("/")
        for pair in sorted(
            _words("""
    enable/disable on/off start/stop open/close add/remove allow/deny allow/block
    allow/forbid increase/decrease raise/lower up/down more/less most/least max/min
    maximum/minimum first/last oldest/newest old/new lock/unlock freeze/unfreeze
    subscribe/unsubscribe install/uninstall encrypt/decrypt encode/decode compress/decompress
    import/export upload/download read/write send/receive accept/reject accept/decline
    include/exclude show/hide connect/disconnect push/pull buy/sell above/below inside/outside
    valid/invalid success/failure succeed/fail true/false public/private login/logout
    create/delete grant/revoke begin/end sync/async synchronous/asynchronous possible/impossible
    safe/unsafe ascending/descending higher/lower faster/slower append/truncate
""")
        )
    )
)

# Words that give their neighbours a direction, and whether they read it backwards.
DIRECTIONS: Final = {
    "to": False,
    "into": False,
    "than": False,
    "over": False,
    "before": False,
    "from": True,
    "after": True,
}

EMOTIONS: Final = {
    "frustrated": _words("annoying annoyed frustrated frustrating ridiculous useless terrible"),
    "worried": _words("worried afraid scared nervous anxious concerned panic"),
    "urgent": _words("urgent urgently asap immediately emergency hurry"),
    "confused": _words("confused confusing puzzled baffled"),
    "pleased": _words("thanks thank glad happy grateful awesome"),
}

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
