"""Requests as the domain takes them, every field checked."""

from typing import Final

from google.protobuf import timestamp_pb2

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.curator.v1 import curator_service_pb2 as pb
from arenalab.atomic import when_from_ns
from arenalab.curator.formats import Format, Origin
from arenalab.curator.meter import ENRICHMENT
from arenalab.dataset import Settings
from arenalab.dataset.names import NAME, checked
from arenalab.mesh import InvalidInputError, Reason

MAX_CHUNK_BYTES: Final = 1 << 20
_DEFAULT_RISK: Final = 0.05
_MAX_RISK: Final = 0.5
_MAX_QUALITY: Final = 100.0
_MAX_FILE_NAME: Final = 256
_NS_PER_S: Final = 1_000_000_000
_FORMATS: Final = {
    pb.INGEST_FORMAT_SPANS: Format.SPANS,
    pb.INGEST_FORMAT_QA_CSV: Format.QA_CSV,
    pb.INGEST_FORMAT_CLINC150: Format.CLINC150,
    pb.INGEST_FORMAT_STACKFAQ: Format.STACKFAQ,
}


def dataset_of(name: str) -> str:
    """Returns a dataset name that may become a file."""
    return checked(name, NAME, "dataset")


def header_of(part: pb.IngestRequest) -> pb.IngestHeader:
    """Returns the header that a stream must begin with."""
    if part.WhichOneof("part") != "header":
        raise InvalidInputError("the stream must begin with a header", field="header")
    header = part.header
    if header.format not in _FORMATS:
        raise InvalidInputError(
            f"header.format must be one of {', '.join(_FORMATS.values())}, got {header.format}",
            field="header.format",
        )
    if len(header.file_name) > _MAX_FILE_NAME or "\0" in header.file_name:
        raise InvalidInputError(
            f"header.file_name must be at most {_MAX_FILE_NAME} characters, none of them NUL",
            field="header.file_name",
        )
    return header


def chunk_of(part: pb.IngestRequest) -> bytes:
    """Returns the bytes of a later message of the stream."""
    if part.WhichOneof("part") != "chunk":
        raise InvalidInputError("only chunks may follow the header", field="chunk")
    if len(part.chunk) > MAX_CHUNK_BYTES:
        raise InvalidInputError(
            f"a chunk must be at most {MAX_CHUNK_BYTES:,} bytes, got {len(part.chunk):,}",
            Reason.TOO_LARGE,
            field="chunk",
            limit=str(MAX_CHUNK_BYTES),
        )
    return part.chunk


def format_of(header: pb.IngestHeader) -> Format:
    """Returns the format that the header names."""
    return _FORMATS[header.format]


def origin_of(header: pb.IngestHeader, now_ns: int) -> Origin:
    """Returns what the header says of the file; `now_ns` stands in for its time."""
    when_ns = _ns(header.file_time) if header.HasField("file_time") else now_ns
    return Origin(
        # The name only: where it lay on the sender's disk is nobody's business.
        file_name=header.file_name.replace("\\", "/").rpartition("/")[2],
        when=when_from_ns(when_ns),
        splits=frozenset(header.splits),
        domains=dict(header.domains),
    )


def settings_of(request: pb.PublishRequest) -> Settings:
    """Returns how the version is to be built, with defaults where the request has zeros."""
    return Settings(
        alpha=_risk(request.alpha, "alpha"),
        delta=_risk(request.delta, "delta"),
        min_quality=_quality(request.min_quality),
        max_per_domain=request.max_per_domain,
    )


def weighting_of(request: pb.PublishRequest) -> answer_pb2.ContextWeighting.ValueType:
    """Returns where the version's context weights come from."""
    if request.context_weighting not in answer_pb2.ContextWeighting.values():
        raise InvalidInputError(
            f"context_weighting must be one of its values, got {request.context_weighting}",
            field="context_weighting",
        )
    return request.context_weighting


def _ns(time: timestamp_pb2.Timestamp) -> int:
    return time.seconds * _NS_PER_S + time.nanos


def _risk(value: float, field: str) -> float:
    if not 0 <= value <= _MAX_RISK:  # NaN too
        raise InvalidInputError(f"{field} must be in (0, {_MAX_RISK}], got {value}", field=field)
    return value or _DEFAULT_RISK


def _quality(value: float) -> float:
    if not 0 <= value <= _MAX_QUALITY:
        raise InvalidInputError(
            f"min_quality must be in [0, {_MAX_QUALITY:g}], got {value}", field="min_quality"
        )
    return value or ENRICHMENT
