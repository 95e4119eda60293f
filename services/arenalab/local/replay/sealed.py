"""A sealed answer, read back: what was asked, under which settings, and what was said. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from google.protobuf import json_format

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.mesh import PreconditionError, Reason
from arenalab.proof import content_commitment


class CannotReplayError(PreconditionError):
    """An entry that cannot be asked again; the message says why."""

    default_reason = Reason.UNSUPPORTED_REQUEST


@dataclass(frozen=True, slots=True)
class Version:
    """A dataset version that a creature answered from."""

    creature: str
    dataset: str
    version: str
    calibration: str


@dataclass(frozen=True, slots=True)
class SealedAnswer:
    """One answer of memory, as the ledger has it."""

    leaf: Mapping[str, Any]
    content: Mapping[str, str]

    @classmethod
    def of(cls, leaf: bytes, content: Mapping[str, str], salt: bytes) -> Self:
        """Reads an entry that can be asked again.

        Args:
            leaf: As it is in the log.
            content: As it lies beside the log.
            salt: Of the commitments, 32 bytes.

        Raises:
            CannotReplayError: It is no answer of memory, or its request was not kept.
        """
        sealed = cls(json.loads(leaf), content)
        kind, facts = sealed.leaf["kind"], sealed.leaf["facts"]
        if kind == "fallback":
            raise CannotReplayError(
                f"{facts.get('provider', 'a provider')} gave this answer, with"
                f" {facts.get('provider_model', 'its model')}: what a provider's model says cannot"
                " be replayed"
            )
        if kind != "prediction":
            raise CannotReplayError(f"this entry is a {kind}, not an answer")
        _check_guardrails(facts.get("guardrails", ()))
        for name, text in content.items():
            if sealed.leaf["commitments"].get(name) != content_commitment(salt, name, text):
                raise CannotReplayError(f"the ledger's content {name!r} is not what was sealed")
        for name in ("request", "config", "answer"):
            if name not in content:
                raise CannotReplayError(f"the entry was sealed without its {name}")
        if {"blake3", "bytes"} == json.loads(content["request"]).keys():
            raise CannotReplayError("the request was too long to be kept; its hash is sealed")
        return sealed

    @property
    def tenant(self) -> str:
        return str(self.leaf["scope"])

    @property
    def config(self) -> dict[str, Any]:
        """The settings that decided."""
        found: dict[str, Any] = json.loads(self.content["config"])
        return found

    @property
    def versions(self) -> list[Version]:
        """What the creatures that were asked answered from, in order."""
        return [
            Version(one["creature"], one["dataset"], one["dataset_version"], one["calibration"])
            for one in self.config["creatures"]
        ]

    @property
    def words(self) -> str:
        """What memory said: without what a provider made of it, or failed to add.

        Of a tool's call, the name and the arguments: its id is the prediction's.
        """
        if "tool_calls" in self.content:
            calls = [call["function"] for call in json.loads(self.content["tool_calls"])]
            return json.dumps(calls, ensure_ascii=False)
        trouble = self.content.get("trouble", "")
        said = self.content.get("memory", self.content["answer"])
        return said.removesuffix(trouble).rstrip() if trouble else said

    def request(self, age_s: float) -> pb.AnswerRequest:
        """Returns the request as it is asked again, of the same creatures and of memory alone.

        Args:
            age_s: How long ago it was asked, in seconds: spans were so much younger then.
        """
        request = json_format.ParseDict(json.loads(self.content["request"]), pb.AnswerRequest())
        policy = request.policy
        policy.fallback = pb.FALLBACK_POLICY_NEVER
        policy.rephrase = pb.REPHRASE_POLICY_NEVER
        policy.ledger = pb.LEDGER_POLICY_REQUIRED
        policy.cache = pb.CACHE_POLICY_BYPASS
        names = [one.creature for one in self.versions if one.creature]
        if names:
            policy.creatures[:] = names
        if policy.HasField("max_age"):
            policy.max_age.FromNanoseconds(policy.max_age.ToNanoseconds() + round(age_s * 1e9))
        return request


def _check_guardrails(verdicts: Sequence[Mapping[str, Any]]) -> None:
    """Refuses an answer that a guardrail changed: a replay has none.

    Raises:
        CannotReplayError: One did.
    """
    for one in verdicts:
        if one["action"] == "block" and one["stage"] == "input":
            raise CannotReplayError(
                f"the guardrail {one['guardrail']!r} blocked the question: memory was not asked"
            )
        if one["action"] != "pass" and one["stage"] == "output":
            raise CannotReplayError(
                f"the guardrail {one['guardrail']!r} changed this answer: what memory said before"
                " was not sealed"
            )
