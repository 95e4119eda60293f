"""Which shard holds which spans: a list of rules, of which the first that fits a span counts."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from google.protobuf import json_format

from arenalab.api.common.v1 import filter_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.mesh import InvalidInputError

MAX_ADDRESSES: Final = 16
MAX_SHARDS: Final = 256
_NAME: Final = re.compile(r"[a-z0-9_-]{1,64}")
_TENANT: Final = re.compile(r"[a-z0-9_-]{1,64}")
_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_MAX_PORT: Final = 65_535
_SEPARATOR: Final = "/"


class ShardMapError(ValueError):
    """A shard map breaks a rule; the message names the shard and the rule."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One part of the spans, served by equal replicas."""

    name: str
    addresses: tuple[str, ...]
    tenants: tuple[str, ...] = ()  # none: every tenant
    domains: tuple[str, ...] = ()  # each with all below it; none: every domain

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ShardMapError(f"a shard's name must match {_NAME.pattern}, got {self.name!r}")
        if not 1 <= len(self.addresses) <= MAX_ADDRESSES:
            raise ShardMapError(
                f"shard {self.name}: addresses must be 1 to {MAX_ADDRESSES},"
                f" got {len(self.addresses)}"
            )
        for address in self.addresses:
            check_address(address, f"shard {self.name}: ")
        for tenant in self.tenants:
            if not _TENANT.fullmatch(tenant):
                raise ShardMapError(
                    f"shard {self.name}: a tenant must match {_TENANT.pattern}, got {tenant!r}"
                )
        for domain in self.domains:
            if not all(domain.split(_SEPARATOR)):
                raise ShardMapError(
                    f"shard {self.name}: a domain must be words with {_SEPARATOR} between them,"
                    f" got {domain!r}"
                )
        for field in ("addresses", "tenants", "domains"):
            values = getattr(self, field)
            if len(set(values)) < len(values):
                raise ShardMapError(f"shard {self.name}: {field} holds a value twice")

    def serves(self, tenant: str) -> bool:
        """Returns whether it may hold spans of a tenant."""
        return not self.tenants or tenant in self.tenants

    def covers(self, domain: str) -> bool:
        """Returns whether its rules fit the spans of a domain, and so all below it."""
        return not self.domains or any(is_within(domain, held) for held in self.domains)

    def touches(self, domain: str) -> bool:
        """Returns whether its rules fit spans of a domain or of one below it."""
        return self.covers(domain) or any(is_within(held, domain) for held in self.domains)


@dataclass(frozen=True, kw_only=True)
class ShardMap:
    """The shards; the first that fits a span holds it."""

    version: int
    shards: tuple[Shard, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.shards) <= MAX_SHARDS:
            raise ShardMapError(f"shards must be 1 to {MAX_SHARDS}, got {len(self.shards)}")
        names, taken = set[str](), dict[str, str]()
        for shard in self.shards:
            if shard.name in names:
                raise ShardMapError(f"two shards are named {shard.name}")
            names.add(shard.name)
            for address in shard.addresses:
                if address in taken:
                    raise ShardMapError(
                        f"{address} is in two shards, {taken[address]} and {shard.name}:"
                        " a replica serves one"
                    )
                taken[address] = shard.name

    @classmethod
    def of_proto(cls, message: pb.ShardMap) -> Self:
        """Returns the map of its message.

        Raises:
            ShardMapError: It breaks a rule.
        """
        if message.version < 1:  # 0 is the map of those who have none
            raise ShardMapError(f"version must be at least 1, got {message.version}")
        return cls(
            version=message.version,
            shards=tuple(
                Shard(
                    name=shard.name,
                    addresses=tuple(shard.addresses),
                    tenants=tuple(shard.tenants),
                    domains=tuple(shard.domains),
                )
                for shard in message.shards
            ),
        )

    @classmethod
    def of_json(cls, text: str) -> Self:
        """Returns the map of the message's JSON form.

        Raises:
            ShardMapError: It does not parse, has an unknown field, or breaks a rule.
        """
        try:
            message = json_format.Parse(text, pb.ShardMap())
        except json_format.ParseError as error:
            raise ShardMapError(f"not a shard map: {error}") from error
        return cls.of_proto(message)

    @classmethod
    def of_replicas(cls, addresses: Sequence[str]) -> Self:
        """Returns the map of one shard that holds everything."""
        return cls(version=0, shards=(Shard(name="all", addresses=tuple(addresses)),))

    def to_proto(self) -> pb.ShardMap:
        """Returns its message."""
        return pb.ShardMap(
            version=self.version,
            shards=[
                pb.Shard(
                    name=shard.name,
                    addresses=shard.addresses,
                    tenants=shard.tenants,
                    domains=shard.domains,
                )
                for shard in self.shards
            ],
        )

    @cached_property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of all replicas."""
        return tuple(address for shard in self.shards for address in shard.addresses)

    def of_tenant(self, tenant: str) -> tuple[Shard, ...]:
        """Returns the shards that may hold spans of a tenant, in the order of the map."""
        serving = [shard for shard in self.shards if shard.serves(tenant)]
        # What comes after a shard without a rule on domains gets nothing.
        for place, shard in enumerate(serving):
            if not shard.domains:
                return tuple(serving[: place + 1])
        return tuple(serving)

    def shards_for(self, tenant: str, domains: Iterable[str]) -> tuple[Shard, ...]:
        """Returns the shards that may hold spans of domains or of any below them.

        Args:
            tenant: Whose spans.
            domains: As in SpanFilter.domains; none means every domain.
        """
        serving = self.of_tenant(tenant)
        wanted = set(domains)
        if not wanted:
            return serving
        holding: set[str] = set()
        for domain in wanted:
            for shard in serving:
                if shard.touches(domain):
                    holding.add(shard.name)
                if shard.covers(domain):  # and takes all of it from those that follow
                    break
        return tuple(shard for shard in serving if shard.name in holding)

    def shards_for_filter(self, tenant: str, wanted: filter_pb2.SpanFilter) -> tuple[Shard, ...]:
        """Returns the shards that may hold spans which pass a filter."""
        found = self.shards_for(tenant, wanted.domains)
        for condition in wanted.all_of:
            also = self.shards_for_filter(tenant, condition)
            found = tuple(shard for shard in found if shard in also)
        return found

    def owner(self, tenant: str, domain: str) -> Shard:
        """Returns the shard that holds the spans of a domain.

        Raises:
            InvalidInputError: No shard does.
        """
        for shard in self.shards:
            if shard.serves(tenant) and shard.covers(domain):
                return shard
        raise InvalidInputError(
            f"no shard holds the domain {domain[:80]!a} of tenant {tenant[:80]!a}",
            field="context.environment",
        )


def is_within(domain: str, ancestor: str) -> bool:
    """Returns whether a domain is another one, or below it."""
    return domain == ancestor or domain.startswith(ancestor + _SEPARATOR)


def check_address(address: str, where: str = "") -> str:
    """Returns an address, or raises ShardMapError if it is not "host:port"."""
    parts = _ADDRESS.fullmatch(address)
    if parts is None or not 1 <= int(parts[2]) <= _MAX_PORT:
        raise ShardMapError(f"{where}an address must be host:port, got {address!r}")
    return address
