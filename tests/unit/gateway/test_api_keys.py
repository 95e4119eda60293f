"""The wrong-key suite of the ring, and what a key is made of."""

import base64
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from arenalab.gateway.keys import ANONYMOUS, KeyRecord, KeyRing, KeyTerms, Principal, Refusal
from arenalab.gateway.keys.key import id_of, is_key_id, make_key, masked
from arenalab.gateway.keys.pepper import Pepper, create_pepper, read_pepper
from arenalab.gateway.keys.ring import hash_clear
from arenalab.gateway.keys.terms import check_terms
from arenalab.gateway.limits.caps import MAX_CAP, Caps
from arenalab.mesh import ConfigError, InvalidInputError, PreconditionError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PEPPER = Pepper(bytes(range(32)))
KEY = make_key()
OLD = make_key(KEY.key_id)


def _record(pepper: Pepper = PEPPER, **members: object) -> KeyRecord:
    given = {
        "key_id": KEY.key_id,
        "digest": pepper.digest(KEY.text),
        "terms": KeyTerms(name="app", tenant="acme"),
        "created": NOW,
    } | members
    return KeyRecord(**given)  # type: ignore[arg-type]


def _ring(record: KeyRecord) -> KeyRing:
    return KeyRing([record], PEPPER)


def test_a_key_is_its_public_id_and_32_random_bytes() -> None:
    key = make_key(random=lambda count: bytes(range(count)))
    prefix, key_id, secret = key.text.split("_", 2)
    assert (prefix, key_id) == ("al", key.key_id)
    assert base64.urlsafe_b64decode(f"{secret}=") == bytes(range(32))
    assert id_of(key.text) == key_id
    assert is_key_id(key_id)
    assert masked(key_id) == f"al_{key_id}_…"
    assert secret not in repr(key)
    assert make_key().text != make_key().text


def test_a_stored_hash_is_blake3_keyed_with_the_pepper() -> None:
    assert PEPPER.digest("text") == blake3(b"text", key=bytes(range(32))).digest()
    assert PEPPER.check() != Pepper.random().check()


def test_the_whole_key_is_found() -> None:
    assert _ring(_record()).find(KEY.text, NOW) == Principal("acme", "app", KEY.key_id)


WRONG: dict[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "blank": lambda key: f" {key}",
    "truncated": lambda key: key[:-1],
    "longer": lambda key: f"{key}A",
    "very long": lambda key: key * 100_000,
    "id alone": lambda key: key[:15],
    "no prefix": lambda key: key[3:],
    "other prefix": lambda key: f"sk{key[2:]}",
    "upper case": str.upper,
    "another secret": lambda _: make_key(KEY.key_id).text,
    "another id": lambda key: f"al_{make_key().key_id}_{key[16:]}",
    "last character": lambda key: key[:-1] + ("A" if key[-1] != "A" else "E"),
    "unicode": lambda key: key[:-1] + "é",
    "a digit of another script": lambda key: key[:-1] + "\u0662",
    "half a surrogate": lambda key: key[:-1] + "\udcff",
    "null": lambda key: key[:-1] + "\0",
    "line break": lambda key: f"{key}\n",
    "the hash": lambda key: PEPPER.digest(key).hex(),
    "standard base64": lambda key: key[:16] + "+" + key[17:],
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_key_is_not_known(change: Callable[[str], str]) -> None:
    ring = KeyRing([_record()], PEPPER, hash_clear(["clear"], PEPPER), PEPPER)
    assert ring.find(change(KEY.text), NOW) is Refusal.UNKNOWN


@given(st.text(max_size=100))
def test_no_text_but_the_key_is_known(text: str) -> None:
    assert _ring(_record()).find(text, NOW) is Refusal.UNKNOWN
    assert KeyRing().find(text, NOW) is Refusal.UNKNOWN


def test_a_hash_with_another_pepper_is_not_known() -> None:
    assert _ring(_record(Pepper.random())).find(KEY.text, NOW) is Refusal.UNKNOWN


def test_a_revoked_key_is_refused() -> None:
    ring = _ring(_record(revoked=NOW))
    assert ring.find(KEY.text, NOW) is Refusal.REVOKED
    # Who has not the whole key does not learn that.
    assert ring.find(make_key(KEY.key_id).text, NOW) is Refusal.UNKNOWN


def test_a_key_works_until_it_expires() -> None:
    end = NOW + timedelta(days=1)
    ring = _ring(_record(terms=KeyTerms(name="app", expires=end)))
    assert isinstance(ring.find(KEY.text, end - timedelta(microseconds=1)), Principal)
    assert ring.find(KEY.text, end) is Refusal.EXPIRED


def test_the_secret_before_a_rotation_works_until_the_overlap_ends() -> None:
    end = NOW + timedelta(hours=1)
    ring = _ring(_record(previous_digest=PEPPER.digest(OLD.text), previous_until=end))
    for key in (KEY, OLD):
        assert isinstance(ring.find(key.text, NOW), Principal)
    assert ring.find(OLD.text, end) is Refusal.EXPIRED
    assert isinstance(ring.find(KEY.text, end), Principal)
    assert ring.find(make_key(KEY.key_id).text, NOW) is Refusal.UNKNOWN


def test_every_key_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("hmac.compare_digest", compare)
    clear = hash_clear(["a", "b", "c"], PEPPER)
    ring = KeyRing([_record()], PEPPER, clear, PEPPER)
    counts = set()
    for key in (make_key(KEY.key_id).text, make_key().text):  # an id that is there, and one not
        compared.clear()
        ring.find(key, NOW)
        assert all(len(one) == len(other) == 32 for one, other in compared)
        counts.add(len(compared))
    assert counts == {5}  # two secrets of the record and three in the clear, whatever was sent


def test_keys_in_the_clear_choose_a_tenant_and_are_never_kept() -> None:
    ring = KeyRing((), None, hash_clear(["three", "four:beta"], PEPPER), PEPPER)
    assert ring.find("three", NOW) == Principal("default", "key-1")
    assert ring.find("four", NOW) == Principal("beta", "key-2")
    assert ring.find("five", NOW) is Refusal.UNKNOWN
    assert "three" not in str(vars(ring))
    assert ring
    assert not KeyRing()


@pytest.mark.parametrize("entry", [":acme", "k:NoTenant", "x" * 600])
def test_a_malformed_key_is_named_by_its_number(entry: str) -> None:
    with pytest.raises(ConfigError, match="entry 1") as caught:
        hash_clear([entry], PEPPER)
    assert "xxx" not in str(caught.value)


@pytest.mark.parametrize(
    ("patterns", "model", "allowed"),
    [
        ((), "anything", True),
        (("arenalab",), "arenalab", True),
        (("arenalab",), "arenalab/memory-only", False),
        (("openai/*",), "openai/gpt-4o", True),
        (("openai/*",), "openai", False),
        (("openai/*",), "openai-evil/gpt", False),
        (("openai/*", "arenalab"), "arenalab", True),
        (("openai/*",), "OPENAI/gpt-4o", False),
    ],
)
def test_a_key_allows_exact_names_and_prefixes(
    patterns: tuple[str, ...],
    model: str,
    allowed: bool,  # noqa: FBT001
) -> None:
    assert Principal("t", "n", "id", patterns).allows(model) is allowed


def test_limits_are_counted_by_key() -> None:
    assert Principal("t", "n", "id").account == "id"
    assert ANONYMOUS.account == "default/anonymous"


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        (KeyTerms(name=""), "name"),
        (KeyTerms(name="x" * 101), "name"),
        (KeyTerms(name="a\x1b[31m"), "name"),
        (KeyTerms(name="a", tenant="NoTenant"), "scope.tenant"),
        (KeyTerms(name="a", models=("*",)), "models"),
        (KeyTerms(name="a", models=("/*",)), "models"),
        (KeyTerms(name="a", models=("open*/x",)), "models"),
        (KeyTerms(name="a", models=("m",) * 65), "models"),
        (KeyTerms(name="a", caps=Caps(tokens_per_day=0)), "tokens_per_day"),
        (KeyTerms(name="a", caps=Caps(usd_micros_total=MAX_CAP + 1)), "usd_micros_total"),
        (KeyTerms(name="a", expires=NOW), "expires"),
    ],
)
def test_terms_out_of_their_range_are_refused(terms: KeyTerms, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_terms(terms, NOW)
    assert caught.value.metadata["field"] == field


def test_the_pepper_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "pepper"
    create_pepper(path)
    made = read_pepper(path)
    create_pepper(path)
    assert read_pepper(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["pepper"]  # noqa: PTH208 - no draft is left
    assert made.secret.hex() not in repr(made)
    path.chmod(0o640)
    with pytest.raises(PreconditionError, match="chmod"):
        read_pepper(path)


def test_what_is_no_pepper_is_refused_unshown(tmp_path: Path) -> None:
    path = tmp_path / "pepper"
    with pytest.raises(PreconditionError, match="cannot be read"):
        read_pepper(path)
    for text in ("feedbeef", "not hexadecimal"):
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(ConfigError, match="64 hexadecimal") as caught:
            read_pepper(path)
        assert text not in str(caught.value)
