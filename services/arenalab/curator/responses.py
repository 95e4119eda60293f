"""Results in the form of the contract."""

from google.protobuf import timestamp_pb2

from arenalab.api.curator.v1 import curator_service_pb2 as pb
from arenalab.curator.catalogue import DatasetEntry
from arenalab.curator.formats import Reject
from arenalab.curator.ingestion import Counts
from arenalab.curator.meter import Grade
from arenalab.curator.publication import Event, Progress, Published, Quality


def progress_of(counts: Counts) -> pb.IngestResponse:
    """Returns how far an ingestion is."""
    return pb.IngestResponse(
        progress=pb.IngestProgress(
            read_bytes=counts.read_bytes, accepted=counts.accepted, rejected=counts.rejected
        )
    )


def reject_of(reject: Reject) -> pb.IngestResponse:
    """Returns one bad row."""
    return pb.IngestResponse(reject=pb.Reject(line=reject.line, reason=reject.reason))


def result_of(counts: Counts, reject_file: str, total_spans: int) -> pb.IngestResponse:
    """Returns what came of an ingestion."""
    return pb.IngestResponse(
        result=pb.IngestResult(
            rows=counts.rows,
            accepted=counts.accepted,
            duplicates=counts.duplicates,
            rejected=counts.rejected,
            skipped=counts.skipped,
            reject_file=reject_file,
            total_spans=total_spans,
        )
    )


def published_of(event: Event, dataset: str) -> pb.PublishResponse:
    """Returns one event of a publication."""
    match event:
        case Progress(stage, done, total):
            return pb.PublishResponse(
                progress=pb.PublishProgress(stage=stage, done=done, total=total)
            )
        case Published():
            return pb.PublishResponse(
                result=pb.PublishResult(
                    dataset=dataset,
                    dataset_version=event.version,
                    spans=event.spans,
                    quality=quality_of(event.quality),
                    duplicates=event.duplicates,
                    left_out=event.left_out,
                    calibration=event.calibration,
                    ledger_index=event.ledger_index,
                )
            )


def quality_of(quality: Quality) -> pb.QualityReport:
    """Returns what the meter found."""
    mean = quality.mean
    return pb.QualityReport(
        mean=pb.QualityScores(
            completeness=mean.completeness,
            provenance=mean.provenance,
            impact=mean.impact,
            uniqueness=mean.uniqueness,
            coherence=mean.coherence,
            total=mean.total,
        ),
        diamond=quality.grades.get(Grade.DIAMOND, 0),
        needs_enrichment=quality.grades.get(Grade.NEEDS_ENRICHMENT, 0),
        discarded=quality.grades.get(Grade.DISCARD, 0),
    )


def dataset_of(entry: DatasetEntry) -> pb.Dataset:
    """Returns one dataset with its versions."""
    versions = []
    for version in entry.versions:
        time = timestamp_pb2.Timestamp()
        time.FromJsonString(version.build_time)
        versions.append(
            pb.DatasetVersion(version=version.version, spans=version.spans, build_time=time)
        )
    return pb.Dataset(name=entry.name, working_spans=entry.working_spans, versions=versions)
