"""A ledger shows a NATS server who it is, and makes sure which server it is."""

import base64
import binascii
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from arenalab.mesh import ConfigError, NotReadyError
from tests.conformance.ledger_store.cluster import Cluster, server_binary

pytest.importorskip("nats", reason="the extra nats is not installed")

from arenalab.ledger.jetstream import JetStreamSettings
from arenalab.ledger.jetstream.connection import Connection

OPERATOR, ACCOUNT, USER, SEED = 14, 0, 20, 18  # types of nkeys
Serve = Callable[[str], str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers with options of their own; returns where they listen."""
    binary = server_binary()
    if binary is None:
        pytest.skip("nats-server is not installed")
    servers: list[Cluster] = []

    def serving(options: str) -> str:
        servers.append(Cluster(tmp_path / f"server{len(servers)}", binary, 1, options))
        servers[-1].start()
        return servers[-1].urls[0]

    yield serving
    for server in servers:
        server.stop()


def connect(url: str, **settings: Any) -> None:
    """Connects and goes."""
    Connection(JetStreamSettings(servers=(url,), timeout_s=10.0, **settings)).close()


def refused(url: str, **settings: Any) -> str:
    with pytest.raises(NotReadyError) as caught:
        Connection(JetStreamSettings(servers=(url,), timeout_s=0.5, **settings))
    return str(caught.value)


def test_a_password_is_taken_from_the_url(serve: Serve) -> None:
    url = serve('authorization { user: ann, password: "very-secret" }')
    host = url.removeprefix("nats://")
    connect(f"nats://ann:very-secret@{host}")
    for wrong in (url, f"nats://ann:quite-secret@{host}"):
        assert "secret" not in refused(wrong)


def test_a_connection_that_is_closed_is_not_said_to_be_lost(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    connect(serve("max_payload: 2MB"))
    assert not caplog.records


def encode(kind: int, key: bytes) -> str:
    """Returns a key as NATS writes it, with its kind and a checksum."""
    head = bytes([kind << 3]) if kind != SEED else bytes([SEED << 3 | USER >> 2, (USER & 3) << 6])
    body = head + key
    checked = body + binascii.crc_hqx(body, 0).to_bytes(2, "little")
    return base64.b32encode(checked).decode().rstrip("=")


def public(kind: int, key: SigningKey) -> str:
    return encode(kind, key.verify_key.encode())


def token(claims: dict[str, Any], issuer: SigningKey) -> str:
    """Returns a JWT as NATS has it."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, claims)
    ]
    signature = issuer.sign(b".".join(parts)).signature
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def claims_of(subject: str, issuer: str, kind: str, **more: Any) -> dict[str, Any]:
    nats = {"type": kind, "version": 2, **more}
    return {"jti": "x", "iat": 1, "iss": issuer, "name": kind, "sub": subject, "nats": nats}


def write_credentials(path: Path, jwt: str, seed: str) -> Path:
    path.write_text(
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
    return path


def test_a_credentials_file_lets_its_user_in(serve: Serve, tmp_path: Path) -> None:
    operator, account, user, other = (SigningKey(bytes([n] * 32)) for n in range(1, 5))
    of_operator, of_account = public(OPERATOR, operator), public(ACCOUNT, account)
    unlimited = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
    account_token = token(
        claims_of(of_account, of_operator, "account", limits=unlimited | {"wildcards": True}),
        operator,
    )
    url = serve(
        f"operator: {token(claims_of(of_operator, of_operator, 'operator'), operator)}\n"
        f"resolver: MEMORY\nresolver_preload: {{ {of_account}: {account_token} }}"
    )
    limits = dict.fromkeys(("subs", "data", "payload"), -1)
    jwt = token(claims_of(public(USER, user), of_account, "user", **limits), account)
    seed = encode(SEED, bytes(user))
    connect(url, credentials=write_credentials(tmp_path / "ann.creds", jwt, seed))
    stolen = write_credentials(tmp_path / "stolen.creds", jwt, encode(SEED, bytes(other)))
    refused(url, credentials=stolen)
    refused(url)


@pytest.mark.parametrize("seed", ["", "SUAXYZ", "not base 32!"])
def test_a_file_that_is_no_credentials_stops_the_start(tmp_path: Path, seed: str) -> None:
    path = write_credentials(tmp_path / "ann.creds", "a.b.c", seed)
    with pytest.raises(ConfigError, match=r"ann\.creds") as caught:
        connect("nats://127.0.0.1:1", credentials=path)
    assert not seed or seed not in str(caught.value)


def openssl(*arguments: str) -> None:
    command = ["openssl", *arguments]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - of our own making


def test_tls_makes_sure_of_both_sides(serve: Serve, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, which makes the certificates")
    for name in ("server", "client", "stranger"):
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", str(tmp_path / f"{name}.key"), "-out", str(tmp_path / f"{name}.pem")),
            *("-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"),
        )
    url = serve(
        f'tls {{ cert_file: "{tmp_path}/server.pem", key_file: "{tmp_path}/server.key",'
        f' ca_file: "{tmp_path}/client.pem", verify: true }}'
    )
    mine = {
        "certificate": tmp_path / "client.pem",
        "certificate_key": tmp_path / "client.key",
    }
    connect(url, ca=tmp_path / "server.pem", **mine)
    refused(url, ca=tmp_path / "stranger.pem", **mine)
    refused(
        url,
        ca=tmp_path / "server.pem",
        certificate=tmp_path / "stranger.pem",
        certificate_key=tmp_path / "stranger.key",
    )
    with pytest.raises(ConfigError, match="certificates"):
        connect(url, ca=tmp_path / "absent.pem")
