"""What an answer or an abstention rests on, as protobuf."""

from collections.abc import Sequence
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from arenalab.api.common.v1 import answer_pb2
from arenalab.predictor.appraisal import Appraisal
from arenalab.predictor.context_match import completeness
from arenalab.predictor.decision import Abstention, Reason
from arenalab.predictor.outcomes import Method
from arenalab.predictor.synthesis import Synthesis, spans_of
from arenalab.predictor.wanted import Kind, Wanted

# Spans that an abstention shows, whatever the caller asked for.
MAX_NEAREST: Final = 3
# Outcomes with a smaller share of the vote are no alternatives.
MIN_SHARE: Final = 0.001

_REASONS: Final = {
    Reason.NO_SUPPORT: answer_pb2.ABSTAIN_REASON_NO_SUPPORT,
    Reason.CONFLICTING_OUTCOMES: answer_pb2.ABSTAIN_REASON_CONFLICTING_OUTCOMES,
    Reason.OUT_OF_SCOPE: answer_pb2.ABSTAIN_REASON_OUT_OF_SCOPE,
    Reason.CONTRAST_CLASH: answer_pb2.ABSTAIN_REASON_CONTRAST_CLASH,
    Reason.STALE: answer_pb2.ABSTAIN_REASON_STALE,
    Reason.GUARANTEE_VOID: answer_pb2.ABSTAIN_REASON_GUARANTEE_VOID,
    Reason.UNSUPPORTED_REQUEST: answer_pb2.ABSTAIN_REASON_UNSUPPORTED_REQUEST,
}

_KINDS: Final = {
    Kind.SPANS: answer_pb2.WANTED_KIND_SPANS,
    Kind.LABELS: answer_pb2.WANTED_KIND_LABELS,
    Kind.CONTEXT: answer_pb2.WANTED_KIND_CONTEXT,
}


def evidence_of(
    appraisal: Appraisal, synthesis: Synthesis, limit: int
) -> list[answer_pb2.Evidence]:
    """Returns the evidence by descending weight, at most `limit`.

    The last place is the heaviest supporting span's, where views found an outcome that no span
    before it has: an answer shows what it rests on.
    """
    order = (-appraisal.weights).argsort(kind="stable").tolist()
    supporting = set(synthesis.clusters[0].members) if synthesis.clusters else set()
    shown = order[:limit]
    if shown and supporting.isdisjoint(shown):
        shown[-1:] = [at for at in order if at in supporting][:1] or shown[-1:]
    return [_evidence(appraisal, at, supports=at in supporting) for at in shown]


def alternatives_of(appraisal: Appraisal, synthesis: Synthesis) -> list[answer_pb2.Alternative]:
    """Returns the outcomes beside the output that hold at least `MIN_SHARE` of the vote."""
    # An uncertain output is a list of options: none of them is the output itself.
    clusters = synthesis.clusters
    others = clusters if synthesis.method is Method.UNCERTAIN else clusters[1:]
    return [
        answer_pb2.Alternative(
            outcome=appraisal.groups[cluster.groups[0]].outcome,
            share=cluster.share,
            support=len(cluster.members),
            span_ids=spans_of(appraisal, [appraisal.groups[at] for at in cluster.groups]),
            wordings=len(cluster.groups),
        )
        for cluster in others
        if cluster.share >= MIN_SHARE
    ]


def sentences_of(synthesis: Synthesis) -> list[answer_pb2.Sentence]:
    """Returns the sentences of the output, each with its spans."""
    return [
        answer_pb2.Sentence(text=traced.text, span_ids=traced.span_ids)
        for traced in synthesis.sentences
    ]


def abstention_of(
    appraisal: Appraisal, abstention: Abstention, wanted: Sequence[Wanted]
) -> answer_pb2.Abstention:
    """Returns an abstention with the nearest spans and what would settle it."""
    best = set(appraisal.groups[0].members) if appraisal.groups else set()
    nearest = range(min(MAX_NEAREST, len(appraisal.neighbourhood)))
    return answer_pb2.Abstention(
        reason=_REASONS[abstention.reason],
        explanation=abstention.explanation,
        wanted=abstention.wanted,
        nearest=[_evidence(appraisal, at, supports=at in best) for at in nearest],
        data=[
            answer_pb2.WantedData(
                kind=_KINDS[one.kind],
                count=one.count,
                outcome=one.outcome,
                domain=one.domain,
                action=one.action,
                terms=one.terms,
            )
            for one in wanted
        ],
    )


def _evidence(appraisal: Appraisal, at: int, *, supports: bool) -> answer_pb2.Evidence:
    memory = appraisal.neighbourhood.memories[at]
    return answer_pb2.Evidence(
        span_id=memory.span_id,
        question=memory.question,
        outcome=memory.outcome,
        similarity=float(appraisal.neighbourhood.similarities[at]),
        context_similarity=float(appraisal.context[at]),
        weight=max(0.0, float(appraisal.weights[at])),
        domain=memory.situation.domain,
        trajectory_depth=memory.trajectory_depth,
        trajectory_completeness=completeness(memory.trajectory_depth),
        trajectory_is_fragment=memory.is_fragment,
        when=_timestamp(memory.when_s),
        supports=supports,
        action=memory.situation.actions[-1] if memory.situation.actions else "",
        # As it was stored: a hundredth of it does not come back exactly.
        quality=round(memory.quality * 100, 6) if memory.is_measured else None,
    )


def _timestamp(seconds: float) -> Timestamp:
    whole = int(seconds // 1)
    return Timestamp(seconds=whole, nanos=min(999_999_999, int((seconds - whole) * 1e9)))
