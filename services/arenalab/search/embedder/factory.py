"""Opens the embedder that a setting names."""

from pathlib import Path

from arenalab.search.embedder.files import DEFAULT_MODEL_DIR
from arenalab.search.embedder.protocol import Embedder

DEFAULT_SPEC = "minilm"
_FORMS = "minilm, minilm:DIRECTORY or sentence-transformers:NAME_OR_DIRECTORY"


class UnknownEmbedderError(ValueError):
    """The setting names no embedder."""


def open_embedder(spec: str = DEFAULT_SPEC, workers: int | None = None) -> Embedder:
    """Returns the embedder named by `kind` or `kind:argument`.

    Args:
        spec: `minilm`, `minilm:DIRECTORY` or `sentence-transformers:NAME_OR_DIRECTORY`.
        workers: Threads of `embed_many`; None means one a usable core. The library behind
            sentence-transformers has threads of its own and does not use it.

    Raises:
        UnknownEmbedderError: The spec has none of these forms.
        ModelFilesError: The built-in model is not built, or has been changed.
        MissingExtraError: The extra of that embedder is not installed.
    """
    kind, colon, argument = spec.partition(":")
    # Imports inside: onnxruntime and torch are each heavy, and only one of them is needed.
    if kind == "minilm" and bool(colon) == bool(argument):
        from arenalab.search.embedder.minilm import MiniLmEmbedder

        return MiniLmEmbedder(Path(argument) if argument else DEFAULT_MODEL_DIR, workers)
    if kind == "sentence-transformers" and argument:
        from arenalab.search.embedder.sentence_transformers import SentenceTransformerEmbedder

        return SentenceTransformerEmbedder(argument)
    raise UnknownEmbedderError(f"embedder must be {_FORMS}, got {spec!r}")
