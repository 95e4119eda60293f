"""Public data sets that tests read where they lie; none is part of this project."""

import os
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]
# Where each folder of the data directory comes from.
_SOURCES: Final = {
    "clinc150": ("CLINC150", "github.com/clinc/oos-eval"),
    "stackfaq": ("StackFAQ", "takelab.fer.hr, Karan and Šnajder 2018"),
    "truthfulqa": ("TruthfulQA", "github.com/sylinrl/TruthfulQA"),
    "deepset_covid_faq": ("COVID-19 FAQ", "github.com/deepset-ai/COVID-QA"),
    "mmlu": ("MMLU", "github.com/hendrycks/test"),
    "nq_open": ("NQ-open", "github.com/google-research-datasets/natural-questions"),
}


def data_file(path: str) -> Path:
    """Returns a file below `ARENALAB_DATA`, or skips the test that asks for it.

    Args:
        path: Such as "clinc150/data_full.json". The setting's default,
            "../shared/data", is relative to the repository.
    """
    import pytest

    found = ROOT / os.environ.get("ARENALAB_DATA", "../shared/data") / path
    if not found.exists():
        folder = path.partition("/")[0]
        name, source = _SOURCES.get(folder, (folder, "see README.md"))
        pytest.skip(f"{name} not found; source: {source}")
    return found
