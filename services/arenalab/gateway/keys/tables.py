"""The tables of the key store, and the version of their form.

One form so far, so a number and a refusal are enough: a tool for migrations would add
two dependencies and a folder of scripts to change nothing. The number is what a first
change of the form will start from.
"""

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table, Text

VERSION: Final = 1
ONLY: Final = 1  # the id of the one row of META

METADATA: Final = MetaData()

META: Final = Table(
    "gateway_key_meta",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    # Grows with every change of a key: who has seen this number has seen the keys.
    Column("revision", BigInteger, nullable=False),
    Column("pepper_check", LargeBinary, nullable=False),
)

KEYS: Final = Table(
    "gateway_keys",
    METADATA,
    Column("key_id", String(12), primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("previous_digest", LargeBinary),
    # Times are seconds since 1970 UTC: both databases then hold the same.
    Column("previous_until", BigInteger),
    Column("tenant", String(64), nullable=False),
    Column("name", String(100), nullable=False),
    Column("models", Text, nullable=False),  # a JSON array
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
    Column("revoked", BigInteger),
    # The fields of Caps.
    Column("requests_per_minute", BigInteger),
    Column("requests_per_day", BigInteger),
    Column("tokens_per_minute", BigInteger),
    Column("tokens_per_day", BigInteger),
    Column("usd_micros_per_day", BigInteger),
    Column("usd_micros_total", BigInteger),
)

# What was used, by days of UTC. Its sum over a key's days is what counts for a total.
USAGE: Final = Table(
    "gateway_key_usage",
    METADATA,
    Column("key_id", String(12), primary_key=True),
    Column("day", BigInteger, primary_key=True, autoincrement=False),  # since 1970
    Column("requests", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("usd_micros", BigInteger, nullable=False),
)
