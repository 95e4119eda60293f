"""Edit similarity of words and of sequences."""

from collections.abc import Hashable, Sequence


def edit_distance(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """Returns the fewest insertions, deletions and replacements that turn `a` into `b`.

    Source: Wagner and Fischer (1974), Journal of the ACM 21(1).
    """
    if len(a) < len(b):
        a, b = b, a
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, start=1):
            replaced = diagonal + (left != right)
            diagonal = row[j]
            row[j] = min(row[j] + 1, row[j - 1] + 1, replaced)
    return row[-1]


def edit_similarity(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """Returns 1 - distance / length of the longer, in [0, 1]; 1 for two empty ones."""
    longer = max(len(a), len(b))
    return 1.0 - edit_distance(a, b) / longer if longer else 1.0
