"""The suites by name."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from arenalab.local.evaluation.suites.choices import ChoiceTask, load_mmlu, load_truthfulqa
from arenalab.local.evaluation.suites.facts import load_nq_open, load_webquestions
from arenalab.local.evaluation.suites.faqs import load_covid_faq, load_stackfaq
from arenalab.local.evaluation.suites.intents import load_clinc150
from arenalab.local.evaluation.task import Task
from arenalab.mesh import InvalidInputError

Loader = Callable[[Path, int], Task | ChoiceTask]

SUITES: Final[Mapping[str, Loader]] = {
    "clinc150": load_clinc150,
    "stackfaq": load_stackfaq,
    "deepset_covid_faq": load_covid_faq,
    "nq_open": load_nq_open,
    "webquestions": load_webquestions,
    "truthfulqa": load_truthfulqa,
    "mmlu": load_mmlu,
}


def load_suite(name: str, root: Path, seed: int) -> Task | ChoiceTask:
    """Returns a suite read from the data directory.

    Raises:
        InvalidInputError: There is no suite of this name.
        NotFoundError: Its data is not there.
    """
    if name not in SUITES:
        known = ", ".join(SUITES)
        raise InvalidInputError(
            f"suite must be one of {known}; or give a file: --data FILE --format qa-intent-csv; "
            f"got {name!r}",
            field="suite",
        )
    return SUITES[name](root, seed)
