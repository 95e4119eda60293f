"""What is said, made of sentences of the evidence alone, each with the spans that hold it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from arenalab.contrast.phrase import parse
from arenalab.predictor.appraisal import Appraisal
from arenalab.predictor.contrast import compare
from arenalab.predictor.meaning import Cluster, is_label, similarity
from arenalab.predictor.outcomes import NOTHING_TEXT, Group, Method, method_of, options_of
from arenalab.predictor.sentences import holding, sentences_of, squeezed

# Spans named for one sentence or alternative.
MAX_SPANS: Final = 5
# Sentences that other wordings of the best outcome may add to it.
MAX_ADDED: Final = 3
# A sentence with fewer words adds nothing that can be understood alone.
_LEAST_WORDS: Final = 4
# Above this a sentence says again what one before it said.
_SAID_FROM: Final = 0.6


@dataclass(frozen=True, slots=True)
class Traced:
    """A sentence and the spans whose outcome holds it."""

    text: str
    span_ids: tuple[str, ...]  # by descending vote, at most `MAX_SPANS`


@dataclass(frozen=True, slots=True)
class Synthesis:
    """What memory says, and how it came about."""

    method: Method
    output: str
    sentences: tuple[Traced, ...]
    clusters: tuple[Cluster, ...]

    @property
    def holds_best(self) -> bool:
        """Whether the outcomes agree with the vote that is calibrated: meaning outvoted nothing."""
        return not self.clusters or 0 in self.clusters[0].groups


def synthesise(appraisal: Appraisal, clusters: Sequence[Cluster]) -> Synthesis:
    """Returns what the clusters of an appraisal's outcomes say.

    A majority gives the best outcome byte for byte: that is what was confirmed, and what the
    guarantee counts. A synthesis begins with it and adds what its other wordings say besides; an
    uncertain one lists the options and says so.
    """
    method = method_of(clusters)
    groups = appraisal.groups
    if method is Method.NONE:
        return Synthesis(method, NOTHING_TEXT, (), ())
    if method is Method.UNCERTAIN:
        options = [(groups[c.groups[0]].outcome, c.share) for c in clusters]
        return Synthesis(method, options_of(options), (), tuple(clusters))
    wordings = [groups[at] for at in clusters[0].groups]
    head = wordings[0].outcome
    chosen = sentences_of(head)
    added = _added(appraisal, chosen, wordings[1:]) if method is Method.SYNTHESIS else []
    output = "\n\n".join([head, " ".join(added)]) if added else head
    held = [squeezed(group.outcome) for group in wordings]
    sentences = tuple(
        Traced(text, spans_of(appraisal, [wordings[at] for at in holding(text, held)]))
        for text in [*chosen, *added]
    )
    return Synthesis(method, output, sentences, tuple(clusters))


def spans_of(appraisal: Appraisal, groups: Sequence[Group]) -> tuple[str, ...]:
    """Returns the spans of groups by descending vote, at most `MAX_SPANS`."""
    members = [at for group in groups for at in group.members]
    if len(members) > 1:
        votes = appraisal.weights.tolist()  # a list is read ten times as fast as an array
        # Equal votes stay in the order of similarity: reversed sorting is stable, too.
        members.sort()
        members.sort(key=votes.__getitem__, reverse=True)
    memories = appraisal.neighbourhood.memories
    return tuple(memories[at].span_id for at in members[:MAX_SPANS])


def _added(appraisal: Appraisal, said: Sequence[str], others: Sequence[Group]) -> list[str]:
    """Returns sentences of other wordings: of the question, new, and contradicting nothing."""
    asked = parse(appraisal.query.text).content
    added: list[str] = []
    for group in others:
        for sentence in [] if is_label(group.outcome) else sentences_of(group.outcome):
            if len(added) == MAX_ADDED:
                return added
            if _is_new(sentence, [*said, *added]) and parse(sentence).content & asked:
                added.append(sentence)
    return added


def _is_new(sentence: str, before: Sequence[str]) -> bool:
    phrase = parse(sentence)
    return len(sentence.split()) >= _LEAST_WORDS and not any(
        similarity(sentence, earlier) >= _SAID_FROM or compare(phrase, parse(earlier))
        for earlier in before
    )
