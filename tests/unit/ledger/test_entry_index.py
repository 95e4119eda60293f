"""The compact map finds what was added, as a dict would."""

from hypothesis import given
from hypothesis import strategies as st

from arenalab.ledger.entry_index import EntryIndex


@given(st.lists(st.integers(1, 2**64 - 1) | st.integers(1, 4).map(lambda n: n * 512), max_size=300))
def test_every_index_is_found_under_its_fingerprint(fingerprints: list[int]) -> None:
    index = EntryIndex()
    expected: dict[int, list[int]] = {}
    for leaf, fingerprint in enumerate(fingerprints):
        index.add(fingerprint, leaf)
        expected.setdefault(fingerprint, []).append(leaf)
    for fingerprint, leaves in expected.items():
        assert sorted(index.candidates(fingerprint)) == leaves
    assert not list(index.candidates(2**63 + 12345)) or 2**63 + 12345 in expected
