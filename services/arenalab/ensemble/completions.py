"""What is asked of the fallback, and what its answer says of itself."""

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.fallback.v1 import fallback_service_pb2 as fallback_pb
from arenalab.ensemble.draft import Draft


def completion_for(answer: Draft) -> fallback_pb.CompleteRequest:
    """Returns what to ask of the fallback for an answer."""
    request, sampling = answer.request, answer.request.sampling
    completion = fallback_pb.CompleteRequest(
        scope=request.scope,
        provider=answer.selection.provider,
        model=answer.selection.provider_model,
        messages=request.messages,
        messages_json=request.messages_json,
        evidence=answer.finished.evidence,
        stop=sampling.stop,
        passthrough=request.passthrough,
        credentials=request.credentials,
        routing=request.policy.routing,
        max_cost_usd_micros=request.max_cost_usd_micros,
    )
    for name in ("temperature", "top_p", "max_tokens", "seed"):
        if sampling.HasField(name):
            setattr(completion, name, getattr(sampling, name))
    return completion


def close(finished: pb.AnswerFinished, event: fallback_pb.CompletionFinished) -> None:
    """Writes down how a completion ended: its tokens, its cost, and what it rests on."""
    finished.finish_reason = event.finish_reason or "stop"
    if event.prompt_tokens or event.completion_tokens:
        finished.usage.prompt_tokens = event.prompt_tokens
        finished.usage.completion_tokens = event.completion_tokens
        finished.usage.cached_prompt_tokens = event.cached_prompt_tokens
        finished.usage.reasoning_tokens = event.reasoning_tokens
    if event.HasField("cost_usd_micros"):
        finished.cost_usd_micros = event.cost_usd_micros
    finished.grounding = event.grounding
    cited = set(event.cited_span_ids)
    for item in finished.evidence:
        item.supports = item.span_id in cited
