"""The protobuf forms of what the ledger takes and returns."""

from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from opentelemetry import trace

from arenalab.api.ledger.v1 import ledger_service_pb2 as pb
from arenalab.ledger.entry import KINDS, Entry, checked_entry
from arenalab.ledger.line import EntryLine
from arenalab.ledger.log import Log
from arenalab.ledger.queries import Filter, Supersession
from arenalab.ledger.reading import Stored
from arenalab.ledger.verify import Verification
from arenalab.mesh import InvalidInputError, tenant_of

_PREFIX: Final = "ENTRY_KIND_"
_KIND_NAMES: Final = {
    number: name.removeprefix(_PREFIX).lower() for name, number in pb.EntryKind.items()
}


def entry_from_proto(request: pb.AppendRequest) -> Entry:
    """Returns the entry that a request asks to seal.

    Raises:
        InvalidInputError: A field is not in its range.
    """
    kind = _KIND_NAMES.get(request.kind, "")
    if kind not in KINDS:
        raise InvalidInputError(
            f"kind must be one of {', '.join(sorted(KINDS)).upper()}, got"
            f" {kind.upper() or request.kind}",
            field="kind",
        )
    return checked_entry(
        tenant=tenant_of(request.scope),
        entry_id=request.entry_id,
        kind=kind,
        facts_json=request.facts_json or "{}",
        content=request.content,
        subject=request.subject,
        salt=request.content_salt,
        evidence_ids=request.evidence_ids,
        dataset_version=request.dataset_version,
        model_digest=request.model_digest,
        config_digest=request.config_digest,
        trace_id=request.trace_id or _current_trace(),
        parent_id=request.parent_id,
    )


def _current_trace() -> str:
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


def filter_from_proto(request: pb.ScanRequest) -> Filter:
    """Returns the filter of a scan.

    Raises:
        InvalidInputError: It names a kind that there is not.
    """
    kinds = [_KIND_NAMES.get(kind, "") for kind in request.kinds]
    if not all(kinds) or "unspecified" in kinds:
        raise InvalidInputError("kinds must be specified kinds of entry", field="kinds")
    return Filter(
        tenant_of(request.scope),
        frozenset(kinds),
        request.start_time.ToNanoseconds() if request.HasField("start_time") else None,
        request.end_time.ToNanoseconds() if request.HasField("end_time") else None,
    )


def stored_to_proto(stored: Stored) -> pb.GetResponse:
    """Returns an entry with its content, or with the word that it is erased."""
    response = pb.GetResponse(
        leaf_index=stored.leaf_index,
        leaf=stored.leaf,
        content_state=pb.CONTENT_STATE_ERASED,
        append_time=_time(stored.time),
    )
    if stored.private is not None:
        response.content_state = pb.CONTENT_STATE_PRESENT
        response.content.update(stored.private.content)
        response.subject = stored.private.subject
        response.content_salt = stored.private.salt
    return response


def leaf_entry(line: EntryLine) -> pb.LeafEntry:
    """Returns a leaf in a list."""
    return pb.LeafEntry(leaf_index=line.index, leaf=line.leaf)


def affected_to_proto(log: Log, line: EntryLine) -> pb.ListAffectedResponse:
    """Returns an entry that leaned on a span."""
    return pb.ListAffectedResponse(entry=leaf_entry(line), log=log.origin)


def supersession_to_proto(said: Supersession) -> pb.Supersession:
    """Returns what was said against a span."""
    return pb.Supersession(
        span_id=said.span_id,
        reason=said.reason,
        replacement_id=said.replacement_id,
        leaf_index=said.leaf_index,
        append_time=_time(said.time),
    )


def checkpoint_to_proto(log: Log) -> pb.GetCheckpointResponse:
    """Returns the newest checkpoint of a log, and its state."""
    head, damage = log.head, log.damage
    return pb.GetCheckpointResponse(
        checkpoint=head.note,
        log_public_key=log.public_key,
        tree_size=head.size,
        segment_bytes=log.segment_bytes,
        public_keys=log.public_keys,
        cosigned_checkpoint=log.cosigned,
        damage=str(damage) if damage is not None else "",
    )


def log_to_proto(log: Log, *, is_open: bool) -> pb.LogDescription:
    """Returns which log it is."""
    return pb.LogDescription(
        log=log.origin,
        is_open=is_open,
        tree_size=log.head.size,
        public_keys=log.public_keys,
    )


def verdict_to_proto(found: Verification) -> pb.VerifyResponse:
    """Returns the verdict of a verification."""
    return pb.VerifyResponse(
        valid=found.valid,
        entries=found.entries,
        checkpoints=found.checkpoints,
        problems=[
            pb.Problem(
                file=problem.file,
                offset=problem.offset,
                leaf_index=problem.leaf_index,
                message=problem.message,
            )
            for problem in found.problems
        ],
    )


def _time(text: str) -> Timestamp:
    found = Timestamp()
    found.FromJsonString(text)
    return found
