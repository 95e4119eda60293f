"""Which evidence a text cites."""

import re
from collections.abc import Sequence
from typing import Final

# "[2]", "[1, 3]"; more digits than any prompt has records are no citation.
_CITATION: Final = re.compile(r"\[\s*(\d{1,4}(?:\s*,\s*\d{1,4})*)\s*\]", re.ASCII)


def cited_span_ids(text: str, span_ids: Sequence[str]) -> list[str]:
    """Returns the ids that `text` cites as [n], each once, in the order of first citation.

    Args:
        text: A completion.
        span_ids: The evidence of the prompt; [1] is the first. Numbers beyond it
            cite nothing.
    """
    numbers = (int(n) for found in _CITATION.finditer(text) for n in found[1].split(","))
    cited = (span_ids[n - 1] for n in numbers if 1 <= n <= len(span_ids))
    return list(dict.fromkeys(cited))
