"""One suite for every embedder: what stored vectors rely on.

`ARENALAB_ST_MODEL` names a directory with all-MiniLM-L6-v2 as published; with it, and with the
extra installed, the suite also runs on sentence-transformers and compares the two.
"""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from arenalab.search.embedder.factory import open_embedder
from arenalab.search.embedder.files import DEFAULT_MODEL_DIR, MODEL_SHA256, VOCABULARY_NAME
from arenalab.search.embedder.protocol import Embedder, EmptyTextError
from arenalab.search.embedder.wordpiece import WordPiece

ST_MODEL = os.environ.get("ARENALAB_ST_MODEL", "")
# Greatest difference of one component between a text embedded alone and among others. In float32,
# torch orders its sums by the shape of the batch.
BATCH_TOLERANCE = {"minilm": 6e-8, "sentence-transformers": 1e-6}

TEXTS = [
    "how do i open a bank account",
    "what is the weather like in boston tomorrow",
    "How do I open a bank account?",
    "the café in the straße of 北京 costs 3,000.50 👍🏽",
    "x",
    "please cancel my reservation for two at the italian place on friday night " * 3,
    "is it safe to eat raw eggs",
    "long " * 400,
]


def open_or_skip(spec: str) -> Embedder:
    if spec == "minilm":
        if not all((DEFAULT_MODEL_DIR / name).exists() for name in MODEL_SHA256):
            pytest.skip("the embedder's model is not built: run `make model`")
        return open_embedder(spec)
    if find_spec("sentence_transformers") is None:
        pytest.skip("the extra sentence-transformers is not installed")
    if not ST_MODEL:
        pytest.skip("ARENALAB_ST_MODEL names no directory with all-MiniLM-L6-v2")
    return open_embedder(f"{spec}:{ST_MODEL}")


@pytest.fixture(scope="module", params=["minilm", "sentence-transformers"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def embedder(kind: str) -> Iterator[Embedder]:
    opened = open_or_skip(kind)
    yield opened
    opened.close()


def test_an_embedder_names_itself_and_its_sizes(embedder: Embedder) -> None:
    assert isinstance(embedder, Embedder)
    assert embedder.dimension == 384
    assert embedder.max_tokens == 256
    assert len(bytes.fromhex(embedder.digest)) == 32
    assert embedder.identity.id == embedder.id
    assert embedder.identity.digest == embedder.digest
    assert embedder.identity.dimension == embedder.dimension


def test_every_vector_has_length_one(embedder: Embedder) -> None:
    vectors = embedder.embed_many(TEXTS)

    assert vectors.shape == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_a_text_has_the_same_vector_alone_and_among_others(embedder: Embedder, kind: str) -> None:
    together = embedder.embed_many(TEXTS * 3)
    alone = np.array([embedder.embed(text) for text in TEXTS] * 3)

    assert np.abs(together - alone).max() <= BATCH_TOLERANCE[kind]


def test_the_order_of_the_texts_changes_no_vector(embedder: Embedder, kind: str) -> None:
    forward = embedder.embed_many(TEXTS)
    backward = embedder.embed_many(TEXTS[::-1])

    assert np.abs(forward - backward[::-1]).max() <= BATCH_TOLERANCE[kind]


def test_no_texts_give_no_vectors(embedder: Embedder) -> None:
    assert embedder.embed_many([]).shape == (0, 384)


def test_two_instances_agree_to_the_byte(embedder: Embedder, kind: str) -> None:
    other = open_or_skip(kind)

    assert other.identity == embedder.identity
    for text in TEXTS:
        assert other.embed(text).tobytes() == embedder.embed(text).tobytes()
    other.close()


@pytest.mark.parametrize("text", ["", "  ", "\n\t", "\u200b"])
def test_an_empty_text_is_refused(embedder: Embedder, text: str) -> None:
    with pytest.raises(EmptyTextError):
        embedder.embed(text)
    with pytest.raises(EmptyTextError, match="index 1"):
        embedder.embed_many(["something", text])
    with pytest.raises(EmptyTextError):
        embedder.count_tokens(text)


def test_invisible_differences_make_no_other_vector(embedder: Embedder) -> None:
    one = embedder.embed("un caf\u00e9 au lait")
    other = embedder.embed(" un  cafe\u0301\r\nau lait\t")

    assert one.tobytes() == other.tobytes()


def test_text_beyond_the_last_token_is_not_read(embedder: Embedder, kind: str) -> None:
    text = "word " * embedder.max_tokens

    difference = embedder.embed(text) - embedder.embed(text + "and more that nobody reads")

    assert np.abs(difference).max() <= BATCH_TOLERANCE[kind]
    assert embedder.count_tokens(text) == embedder.max_tokens + 2


def test_tokens_are_counted_with_both_marks(embedder: Embedder) -> None:
    assert embedder.count_tokens("how do i open a bank account") == 9


@pytest.mark.parametrize(
    ("text", "paraphrase", "unrelated"),
    [
        ("how do i open a bank account", "i want to start a new account", "is it raining outside"),
        ("what is the capital of france", "which city is france's capital", "play some jazz"),
        ("cancel my flight", "i no longer want to take the plane", "how do you say hello in greek"),
    ],
)
def test_a_paraphrase_is_nearer_than_an_unrelated_text(
    embedder: Embedder, text: str, paraphrase: str, unrelated: str
) -> None:
    vector, near, far = embedder.embed_many([text, paraphrase, unrelated])

    assert vector @ near > vector @ far + 0.2


def test_the_two_embedders_nearly_agree() -> None:
    ours, theirs = open_or_skip("minilm"), open_or_skip("sentence-transformers")

    cosines = (ours.embed_many(TEXTS) * theirs.embed_many(TEXTS)).sum(axis=1)
    counts = [(ours.count_tokens(text), theirs.count_tokens(text)) for text in TEXTS]

    assert cosines.min() >= 0.99
    assert all(one == other for one, other in counts)
    assert ours.digest != theirs.digest
    ours.close()
    theirs.close()


def test_the_ids_are_those_of_the_reference_tokenizer() -> None:
    if not ST_MODEL:
        pytest.skip("ARENALAB_ST_MODEL names no directory with all-MiniLM-L6-v2")
    tokenizers = pytest.importorskip("tokenizers", reason="the package tokenizers is not installed")
    reference = tokenizers.Tokenizer.from_file(str(Path(ST_MODEL) / "tokenizer.json"))
    reference.no_padding()
    reference.enable_truncation(256)
    vocabulary = (DEFAULT_MODEL_DIR / VOCABULARY_NAME).read_bytes().decode()
    ours = WordPiece(vocabulary, 256)
    words = vocabulary.split("\n")
    plain = [word for word in words if not word.startswith("[")]
    edges = [
        "a\x00b\u200bc",
        "e\u0301",
        "İstanbul",
        "ﬁne ①",
        "Σίσυφος ΣΑΣ",
        "\uff46\uff55",
        "한국어",
    ]

    for text in [*TEXTS, *edges, *plain[::7], "x" * 100, "x" * 101]:
        assert ours.encode(text) == reference.encode(text).ids, text
