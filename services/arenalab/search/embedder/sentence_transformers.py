"""Any model of the sentence-transformers library behind the `Embedder` protocol (an extra)."""

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arenalab.search.embedder.normalise import NORMALISATION, normalise, normalise_all
from arenalab.search.embedder.protocol import EmbedderIdentity, Vectors, identity_digest

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class MissingExtraError(RuntimeError):
    """The library behind an optional embedder is not installed."""


class SentenceTransformerEmbedder:
    """A sentence-transformers model on the CPU."""

    def __init__(self, model_name: str) -> None:
        """Loads a model by its name on the model hub, or from a directory.

        Raises:
            MissingExtraError: The extra `sentence-transformers` is not installed.
        """
        self._model = _load(model_name)
        # A directory's own name only: an identity must not depend on where a machine keeps files.
        name = Path(model_name).resolve().name if Path(model_name).exists() else model_name
        self._id = f"sentence-transformers:{name}"
        self._dimension = int(self._model.get_embedding_dimension() or 0)
        self._digest = identity_digest(
            {
                "id": self._id,
                "weights_sha256": _weights_sha256(self._model),
                "normalisation": NORMALISATION,
                "max_tokens": str(self.max_tokens),
                "runtime": f"sentence-transformers {version('sentence-transformers')}",
                "torch": version("torch"),
            }
        )

    @property
    def id(self) -> str:
        return self._id

    @property
    def digest(self) -> str:
        return self._digest

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def max_tokens(self) -> int:
        return int(self._model.max_seq_length)

    @property
    def identity(self) -> EmbedderIdentity:
        return EmbedderIdentity(self.id, self.digest, self.dimension)

    def embed(self, text: str) -> Vectors:
        row: Vectors = self._encode([normalise(text)])[0]
        return row

    def embed_many(self, texts: Sequence[str]) -> Vectors:
        normalised = normalise_all(texts)
        if not normalised:
            return np.empty((0, self.dimension), np.float32)
        return self._encode(normalised)

    def count_tokens(self, text: str) -> int:
        # The tokenizer's file may carry a cut and a padding of its own: both off.
        tokens = self._model.tokenizer(normalise(text), truncation=False, padding=False)
        return len(tokens["input_ids"])

    def close(self) -> None:
        """Does nothing: the library holds no threads of ours."""

    def _encode(self, texts: list[str]) -> Vectors:
        vectors = self._model.encode(
            texts, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )
        return np.asarray(vectors, np.float32)


def _load(model_name: str) -> "SentenceTransformer":
    try:
        from sentence_transformers import SentenceTransformer
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "the sentence-transformers embedder needs its extra: "
            "pip install 'arenalab[sentence-transformers]'"
        ) from error
    return SentenceTransformer(model_name, device="cpu")


def _weights_sha256(model: Any) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        # As doubles, which hold every dtype exactly: numpy has no bfloat16.
        digest.update(tensor.cpu().double().numpy().tobytes())
    return digest.hexdigest()
