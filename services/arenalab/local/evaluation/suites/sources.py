"""Where each public data set comes from, and finding it on this machine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from arenalab.mesh import NotFoundError


@dataclass(frozen=True, slots=True)
class Source:
    """A public data set."""

    folder: str  # below the data directory
    title: str
    where: str


CLINC150: Final = Source("clinc150", "CLINC150", "github.com/clinc/oos-eval")
STACKFAQ: Final = Source("stackfaq", "StackFAQ", "takelab.fer.hr, Karan and Šnajder 2018")
COVID_FAQ: Final = Source(
    "deepset_covid_faq", "COVID-19 FAQ question pairs", "github.com/deepset-ai/COVID-QA"
)
NQ_OPEN: Final = Source(
    "nq_open", "NQ-open", "github.com/google-research-datasets/natural-questions"
)
WEBQUESTIONS: Final = Source(
    "webquestions", "WebQuestions", "github.com/brmson/dataset-factoid-webquestions"
)
TRUTHFULQA: Final = Source("truthfulqa", "TruthfulQA", "github.com/sylinrl/TruthfulQA")
MMLU: Final = Source("mmlu", "MMLU", "github.com/hendrycks/test")


def find(root: Path, source: Source, file: str) -> Path:
    """Returns a file of a data set, in its folder below `root`, or in `root` itself.

    Raises:
        NotFoundError: It is in neither.
    """
    for candidate in (root / source.folder / file, root / file):
        if candidate.exists():
            return candidate
    raise NotFoundError(
        f"{source.title} is not at {root / source.folder} ({file} is missing); its public source "
        f"is {source.where}. Set ARENALAB_DATA, or --data, to the folder that holds "
        f"{source.folder}/"
    )
