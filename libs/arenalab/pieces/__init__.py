"""What comes in pieces, put together again: texts, and tool calls of the OpenAI API."""

from arenalab.pieces.calls import ToolCalls
from arenalab.pieces.text import TextJoiner, characters

__all__ = ["TextJoiner", "ToolCalls", "characters"]
