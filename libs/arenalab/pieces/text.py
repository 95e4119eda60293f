"""Texts whose characters may be cut in two."""


def characters(text: str) -> str:
    """Returns a text in which halves of characters are joined, or U+FFFD where they are alone.

    An escape in JSON can spell half a character, and the other half may come in the next piece.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class TextJoiner:
    """Joins the halves of characters that JSON escapes allow to be cut in two.

    A character beyond the basic plane may come as two escapes, one in each of two
    pieces. Half a character is no text: it waits here for its other half.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """Returns the text that is complete now; halves that never meet become U+FFFD."""
        text = self._held + text
        self._held = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return characters(text)

    def finish(self) -> str:
        """Returns what waits in vain."""
        held, self._held = self._held, ""
        return "\ufffd" if held else ""
