"""Checks vectors.json, on stdin, by the formats that arenalab.proof documents alone."""
import hashlib, json, sys; from base64 import b64decode, b64encode; from typing import Any
from blake3 import blake3; from nacl.signing import VerifyKey
def digest(*parts: bytes) -> bytes: return blake3(b"".join(parts)).digest()
def unhex(texts: list[str]) -> list[bytes]: return [bytes.fromhex(text) for text in texts]
def split(n: int) -> int: return 1 << (n - 1).bit_length() - 1
def need(holds: bool, what: str) -> None:
    if not holds: raise ValueError(what)
def unbase64(text: str) -> bytes:  # of two spellings of the same bytes, one only
    return data if b64encode(data := b64decode(text)) == text.encode() else b""
def root(nodes: list[bytes]) -> bytes:
    if len(nodes) < 2: return nodes[0] if nodes else digest()
    return digest(b"\1", root(nodes[:split(len(nodes))]), root(nodes[split(len(nodes)):]))
def climb(index: int, n: int, leaf: bytes, path: list[bytes]) -> bytes:
    if (index, n) == (0, 1): return leaf
    sibling, k = path.pop(), split(n)
    if index < k: return digest(b"\1", climb(index, k, leaf, path), sibling)
    return digest(b"\1", sibling, climb(index - k, n - k, leaf, path))
def grow(m: int, n: int, old: bytes, path: list[bytes]) -> tuple[bytes, bytes]:
    if m == n: return (old or path.pop(),) * 2  # the whole first tree is not in its proof
    sibling, k = path.pop(), split(n)
    before, after = grow(m, k, old, path) if m <= k else grow(m - k, n - k, b"", path)
    if m <= k: return before, digest(b"\1", after, sibling)
    return digest(b"\1", sibling, before), digest(b"\1", sibling, after)
def signed(note: str, vkey: str, kind: bytes) -> bytes:
    name, key_hash, key = vkey.split("+")
    named = hashlib.sha256(f"{name}\n".encode() + unbase64(key)).digest()[:4]
    need(unbase64(key)[:1] == kind and named.hex() == key_hash, "verifier key")
    text, _, lines = note.rpartition("\n\n")
    mine = [line.split(" ")[2] for line in lines.split("\n") if line.startswith(f"\u2014 {name} ")]
    [signature] = [raw[4:] for raw in map(unbase64, mine) if raw[:4] == named]
    time = f"cosignature/v1\ntime {int.from_bytes(signature[:8], 'big')}\n" if kind == b"\4" else ""
    VerifyKey(unbase64(key)[1:]).verify(f"{time}{text}\n".encode(), signature[-64:])
    return signature[:-64]
def opened(note: str, keys: dict[str, Any]) -> tuple[int, bytes]:
    for key in keys["verifier_keys"]: signed(note, key, b"\1")
    need(int.from_bytes(signed(note, keys["witness_key"], b"\4"), "big") == keys["time"], "time")
    need(note.startswith(keys["origin"] + "\n") and note.endswith("\n"), "checkpoint")
    return int(note.split("\n")[1]), unbase64(note.split("\n")[2])
def verify(v: dict[str, Any]) -> None:
    for h in v["hashes"]: need(digest(bytes.fromhex(h["data"])).hex() == h["hash"], "hash")
    for c in v["commitments"]:
        framed = b"".join(len(p.encode()).to_bytes(8, "big") + p.encode() for p in c["parts"])
        need(blake3(framed, key=bytes.fromhex(c["salt"])).hexdigest() == c["value"], "commitment")
    leaves = [digest(b"\0", leaf) for leaf in unhex(v["leaves"])]
    roots = [root(leaves[:n]) for n in range(len(leaves) + 1)]
    need([r.hex() for r in roots] == v["roots"], "roots")
    for i, n, nodes in v["inclusion"]:
        need(climb(i, n, leaves[i], path := unhex(nodes)) == roots[n] and not path, "inclusion")
    for m, n, nodes in v["consistency"]:
        proven = grow(m, n, roots[m], path := unhex(nodes))
        need(proven == (roots[m], roots[n]) and not path, "consistency")
    need(opened(v["checkpoint"], v["keys"]) == (len(leaves), roots[-1]), "checkpoint")
    r = v["receipt"]; leaf, hashed = unbase64(r["leaf"]), unbase64(r["leaf_hash"])
    (n, top), path = opened(r["checkpoint"], v["keys"]), [unbase64(x) for x in r["inclusion_path"]]
    need(r["log_public_key"] in v["keys"]["verifier_keys"], "key of the receipt")
    need(hashed == digest(b"\0", leaf), "leaf hash")
    need(climb(r["leaf_index"], n, hashed, path) == top and not path, "receipt")
    need(json.loads(leaf)["commitments"]["answer"] == v["commitments"][0]["value"], "content")
if __name__ == "__main__": verify(json.load(sys.stdin))
