"""The words that change a question: small lists, written by hand, of words with one meaning.

No antonym lexicon of a free licence comes as a package without a download, so the opposites are
our own. A pair is listed only where the two hardly ever mean anything else.
"""

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    pairs = (pair.partition("/") for pair in sorted(_words(text)))
    return tuple((left, right) for left, _, right in pairs)


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
    wont shouldnt mustnt didnt arent wasnt werent couldnt wouldnt hasnt havent hadnt
""")

# "I don't know where …" asks where: a negation before these is of the asker's knowledge. Some
# are things to do as well ("do not tell my bank"), and count only where the asker is named.
KNOWING: Final = _words("""
    know sure find remember recall understand figure see think believe matter mind tell seem
""")
DOING: Final = _words("find remember see tell believe")
ASKERS: Final = _words("i we i'm im i've we've")

NUMBERS: Final = {
    word: str(value)
    for value, word in enumerate(
        [
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
        ],
        start=2,
    )
} | {"twenty": "20", "thirty": "30", "forty": "40", "fifty": "50", "hundred": "100"}

# A unit after a number: its dimension, and how many base units it is.
UNITS: Final = {
    unit: (dimension, size)
    for dimension, units in {
        "time": {
            "ms millisecond milliseconds": 0.001,
            "s sec secs second seconds": 1.0,
            "min mins minute minutes": 60.0,
            "h hr hrs hour hours": 3_600.0,
            "day days": 86_400.0,
            "week weeks": 604_800.0,
        },
        "months": {"month months": 1.0, "year years yr yrs": 12.0},
        "length": {
            "mm millimeter millimeters millimetre millimetres": 0.001,
            "cm centimeter centimeters centimetre centimetres": 0.01,
            "inch inches": 0.0254,
            "ft foot feet": 0.3048,
            "yard yards": 0.9144,
            "meter meters metre metres": 1.0,
            "km kilometer kilometers kilometre kilometres": 1_000.0,
            "mile miles": 1_609.344,
        },
        "mass": {
            "mg milligram milligrams": 0.001,
            "g gram grams": 1.0,
            "oz ounce ounces": 28.349523125,
            "lb lbs pound pounds": 453.59237,
            "kg kilo kilos kilogram kilograms": 1_000.0,
        },
        "data": {
            "byte bytes": 1.0,
            "kb kilobyte kilobytes": 1e3,
            "mb megabyte megabytes": 1e6,
            "gb gigabyte gigabytes": 1e9,
            "tb terabyte terabytes": 1e12,
            "kib": 1_024.0,
            "mib": 1_048_576.0,
            "gib": 1_073_741_824.0,
        },
        "volume": {
            "ml milliliter milliliters millilitre millilitres": 0.001,
            "liter liters litre litres": 1.0,
            "gallon gallons": 3.785411784,
        },
        "dollars": {"dollar dollars usd bucks": 1.0, "cent cents": 0.01},
        "euros": {"euro euros eur": 1.0},
        "share": {"percent": 1.0},
        "celsius": {"celsius": 1.0},
        "fahrenheit": {"fahrenheit": 1.0},
    }.items()
    for names, size in units.items()
    for unit in names.split()
}

# Negations ("with" and "without") and directions ("before" and "after") are left out: they would
# count twice.
OPPOSITES: Final = _pairs("""
    enable/disable on/off start/stop open/close add/remove allow/deny allow/block allow/forbid
    allow/prohibit old/new lock/unlock freeze/unfreeze activate/deactivate attach/detach
    subscribe/unsubscribe install/uninstall encrypt/decrypt encode/decode compress/decompress
    import/export upload/download read/write send/receive accept/reject accept/decline
    include/exclude show/hide connect/disconnect push/pull buy/sell inside/outside enter/exit
    indoor/outdoor internal/external input/output incoming/outgoing inbound/outbound
    valid/invalid success/failure succeed/fail true/false public/private login/logout pass/fail
    create/delete grant/revoke begin/end sync/async synchronous/asynchronous possible/impossible
    safe/unsafe healthy/unhealthy legal/illegal append/truncate mount/unmount mute/unmute
    follow/unfollow archive/unarchive pin/unpin register/unregister select/deselect
    hot/cold warm/cool wet/dry day/night male/female man/woman men/women boy/girl husband/wife
    mother/father brother/sister son/daughter king/queen uncle/aunt north/south east/west
    northern/southern eastern/western left/right top/bottom front/back win/lose won/lost
    winner/loser love/hate alive/dead born/die born/died birth/death rich/poor happy/sad
    good/bad right/wrong hard/easy hard/soft easy/difficult strong/weak heavy/light empty/full
    gain/lose save/spend borrow/lend deposit/withdraw deposit/withdrawal arrive/depart
    arrival/departure import/export ally/enemy friend/enemy victory/defeat cause/prevent
    cause/cure profit/loss credit/debit domestic/international ancient/modern positive/negative
    odd/even horizontal/vertical row/column client/server always/never same/different
    hello/goodbye present/absent tall/short guilty/innocent married/divorced hire/fire
    teacher/student parent/child doctor/patient husband/wife prefix/suffix
""")

# What is larger, earlier or better: reversing one reverses the question.
COMPARATIVES: Final = _pairs("""
    increase/decrease raise/lower up/down more/less more/fewer most/least most/fewest max/min
    maximum/minimum first/last oldest/newest oldest/youngest older/younger above/below
    ascending/descending higher/lower highest/lowest high/low faster/slower fastest/slowest
    fast/slow larger/smaller largest/smallest bigger/smaller biggest/smallest big/small
    large/small better/worse best/worst longer/shorter longest/shortest long/short cheaper/dearer
    cheapest/dearest expensive/cheap earlier/later earliest/latest early/late before/after
    hotter/colder hottest/coldest warmer/cooler hotter/cooler taller/shorter tallest/shortest
    nearest/farthest closest/farthest near/far stronger/weaker strongest/weakest wider/narrower
    deeper/shallower richer/poorer richest/poorest heavier/lighter heaviest/lightest
    safer/riskier upper/lower exceed/below ahead/behind easier/harder easiest/hardest
    grow/shrink rise/fall expand/shrink gain/lose upgrade/downgrade
""")

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
# What stands on either side of these may change places.
SYMMETRIC: Final = _words("and or vs versus versu between with")

# Items of one kind, each kind closed: another item of the same kind is another question. A slash
# joins names of one item, an underscore joins the words of one name.
_DATES: Final = {
    "weekday": "monday/mon tuesday/tues wednesday/wed thursday/thur/thurs friday/fri"
    " saturday sunday",
    "month": "january/jan february/feb april/apr june/jun july/jul august/aug september/sept"
    " october/oct november/nov december/dec",
    "day": "today/tonight tomorrow yesterday",
    "season": "spring summer autumn winter",
    "feast": "christmas/xmas easter thanksgiving halloween ramadan hanukkah",
    "part": "morning afternoon evening",
}
_THINGS: Final = {
    "platform": "windows macos/mac/osx linux/ubuntu/debian/fedora android ios/iphone/ipad",
    "browser": "chrome firefox safari edge",
    "language": "python java javascript/js typescript rust golang ruby php perl swift kotlin scala",
    "database": "postgres/postgresql mysql sqlite mongodb redis oracle",
    "cloud": "aws azure gcp",
    "web": "facebook/fb twitter instagram linkedin youtube reddit whatsapp gmail github gitlab"
    " bitbucket dropbox slack netflix amazon google bing wikipedia",
    "card": "visa mastercard amex",
    "place": "usa/america/u.s canada mexico brazil argentina chile peru colombia venezuela cuba"
    " uk/britain/england scotland ireland wales france germany spain portugal italy greece"
    " switzerland austria belgium netherlands/holland denmark norway sweden finland iceland"
    " poland hungary romania bulgaria ukraine russia turkey israel egypt libya morocco nigeria"
    " kenya ethiopia ghana iran iraq syria pakistan india china japan korea vietnam thailand"
    " indonesia malaysia singapore philippines australia jamaica bahamas haiti texas california"
    " florida ohio michigan alaska hawaii georgia virginia oregon nevada arizona utah colorado"
    " illinois london paris rome berlin madrid tokyo moscow beijing chicago boston dallas houston"
    " seattle denver miami atlanta philadelphia toronto sydney dubai nyc vegas africa asia europe"
    " antarctica",
    "people": "american/americans canadian mexican british/english french german spanish italian"
    " greek dutch russian turkish chinese japanese korean indian brazilian australian irish"
    " scottish swedish norwegian polish egyptian jewish arabic latin hindi",
    "planet": "mercury venus mars jupiter saturn uranus neptune pluto",
    "colour": "red blue green yellow orange purple pink black white brown grey/gray",
    "faith": "christian/christians muslim/muslims hindu/hindus buddhist/buddhists catholic"
    " protestant",
    "animal": "dog/dogs cat/cats horse/horses cow/cows pig/pigs bird/birds snake/snakes"
    " shark/sharks",
    "meal": "breakfast lunch dinner",
    "sport": "baseball football basketball hockey soccer tennis golf cricket rugby",
    "account": "checking savings",
    "network": "wifi bluetooth ethernet",
    "direction": "north south east west",
    "asked": "who when where why",
}
DATES: Final = frozenset(_DATES)


def _items(kinds: dict[str, str]) -> dict[str, tuple[str, str]]:
    return {
        name: (kind, item.split("/")[0])
        for kind, items in kinds.items()
        for item in items.split()
        for name in item.split("/")
    }


# Each name of an item, with its kind and the item.
ITEMS: Final = _items(_DATES | _THINGS)
# Items that are asked for with one of these words and a noun ("what year", "which city").
ASKED: Final = "asked"

# Words that mean the same wherever they stand alone: exchanging them changes nothing.
SYNONYMS: Final = (
    "delete remove erase discard",
    "create make build generate produce",
    "change modify edit alter adjust",
    "show display see view",
    "get obtain acquire retrieve fetch",
    "fix repair solve resolve",
    "stop end quit terminate halt",
    "start begin launch open",
    "new novel",
    "picture photo image photograph pic",
    "fast quick rapid speedy",
    "quickly fast",
    "big large huge",
    "movie film",
    "car automobile vehicle",
    "phone cell cellphone mobile smartphone telephone",
    "kid child kids children",
    "buy purchase order",
    "way method means option possibility",
    "people person individual anyone someone somebody",
    "illness disease sickness",
    "virus coronavirus",
    "message text",
    "mail email e-mail",
    "possible able allowed",
    "safe secure",
    "error problem issue trouble",
    "use utilize employ using",
    "live reside",
    "job work occupation",
    "spouse partner",
    "begin start",
    "help assist aid",
    "happen occur",
    "kind type sort",
    "program application app software",
    "folder directory",
    "tell say inform",
    "mean signify",
    "main primary chief",
    "important significant",
    "protect prevent safeguard",
    "contract catch get",
    "spread transmit transmission transmitted",
    "doctor physician",
    "store save keep",
    "shop store",
    "currency money",
    "nation country",
    "turn switch",
    "need require must",
    "should must",
    "check verify test",
    "come originate",
    "called named name",
    "play portray",
    "perform do",
    "sing perform",
    "written wrote",
    "search find",
    "major main predominant",
    "spread diffuse",
    "empty flow",
    "build built building construct",
    "real actual actually really",
)
