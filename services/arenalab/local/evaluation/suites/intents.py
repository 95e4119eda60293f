"""CLINC150: intents that repeat, and questions that none of them covers."""

import json
from pathlib import Path

from arenalab.local.evaluation.suites.sources import CLINC150, find
from arenalab.local.evaluation.task import Known, Question, Round, Task
from arenalab.predictor.neighbourhood import outcome_key


def load_clinc150(root: Path, seed: int) -> Task:
    """Returns CLINC150: the 15,000 training questions known, 4,500 and 1,000 asked.

    Raises:
        NotFoundError: The data is not there.
    """
    del seed  # its splits are its own
    splits = json.loads(find(root, CLINC150, "data_full.json").read_text())
    by_domain = json.loads(find(root, CLINC150, "domains.json").read_text())
    domains = {intent: domain for domain, intents in by_domain.items() for intent in intents}
    known = [Known(text, intent, domains.get(intent, "")) for text, intent in splits["train"]]
    asked = [Question(text, frozenset({outcome_key(i)})) for text, i in splits["test"]]
    asked += [Question(text, frozenset()) for text, _ in splits["oos_test"]]
    return Task("clinc150", "CLINC150 with 1,000 out-of-scope questions", [Round(known, asked)])
