"""A contrast certificate in the form of the contract."""

from arenalab.api.common.v1 import answer_pb2
from arenalab.contrast.certificate import ContrastCertificate, Rate


def contrast_of(certificate: ContrastCertificate) -> answer_pb2.ContrastCertificate:
    """Returns the certificate; where no pair could be made, without a rate."""
    return answer_pb2.ContrastCertificate(
        total=_rate_of("", certificate.total),
        by_kind=[_rate_of(kind, one) for kind, one in certificate.by_kind.items()],
        otherwise=certificate.otherwise,
        examples=[
            answer_pb2.ContrastExample(kind=pair.kind, question=pair.question, variant=pair.variant)
            for pair in certificate.examples
        ],
    )


def _rate_of(kind: str, rate: Rate) -> answer_pb2.ContrastRate:
    return answer_pb2.ContrastRate(
        kind=kind,
        pairs=rate.pairs,
        false_accepts=rate.false_accepts,
        rate=rate.value,
        lower=rate.lower,
        upper=rate.upper,
    )
