"""The lexical index of a segment, built when a search first asks for words."""

import threading
from collections.abc import Callable, Sequence

from arenalab.search.lexical import LexicalIndex


class Words:
    """Holds a segment's lexical index once there is one; shared by its states."""

    def __init__(self, index: LexicalIndex | None = None) -> None:
        self.index = index
        self._building = threading.Lock()

    def get(
        self, read_texts: Callable[[], Sequence[str]], like: LexicalIndex | None
    ) -> LexicalIndex:
        """Returns the index, building it on the calling thread if it is not there.

        Args:
            read_texts: Returns the texts of the segment's rows, in their order.
            like: The index whose statistics the scores are to be comparable with.
        """
        if self.index is None:
            with self._building:
                if self.index is None:
                    self.index = LexicalIndex.build(read_texts(), like=like)
        return self.index
