"""The contrast certificate of a version: its own served path, asked its own minimal pairs."""

from collections.abc import Mapping, Sequence

import numpy as np

from arenalab.contrast.certificate import ContrastCertificate, Served, contrast_certificate
from arenalab.contrast.generator import Asked, ContrastPair, contrast_pairs
from arenalab.predictor.appraisal import appraise
from arenalab.predictor.calibrated import Calibrated
from arenalab.predictor.decision import decide
from arenalab.predictor.holdout import Corpus
from arenalab.predictor.neighbourhood import K, Neighbourhood, Query, Vectors


def pairs_of(corpus: Corpus) -> list[ContrastPair]:
    """Returns the minimal pairs of a corpus; the same corpus gives the same ones.

    Follow-up spans are left out: their words mean what the turns before them make of them.
    """
    return contrast_pairs(
        [
            Asked(memory.question, memory.outcome_key)
            for memory in corpus.memories
            if not memory.trajectory_depth
        ]
    )


def certify(
    corpus: Corpus, calibrated: Calibrated, pairs: Sequence[ContrastPair], vectors: Vectors
) -> ContrastCertificate:
    """Returns how often the version answers a variant as the question that it was made from.

    Args:
        corpus: All spans of the version that have an outcome.
        calibrated: Its calibration, with the defaults that it is served at, and its views.
        pairs: Of the corpus.
        vectors: Of the pairs' variants, shape (n_pairs, d), unit rows.
    """
    by_text = dict(zip([pair.variant for pair in pairs], vectors, strict=True))
    return contrast_certificate(pairs, served_path(corpus, calibrated, by_text))


def served_path(corpus: Corpus, calibrated: Calibrated, vectors: Mapping[str, Vectors]) -> Served:
    """Returns what asks questions as the service would: neighbours, appraisal, decision.

    The service refuses more: where meaning turns the vote round, and what dangles. So it answers
    nothing that is not answered here.
    """
    bound, views = calibrated.bound(), calibrated.views
    mixing, weights = calibrated.artefact.mixing, calibrated.context_weights

    def serve(text: str) -> str:
        vector = vectors[text]
        opinion = views.opinions([text], vector[None])[0] if views is not None else None
        appraisal = appraise(Query(text), _nearest(corpus, vector), opinion, mixing, weights)
        confidence, _ = calibrated.confidence(appraisal)
        if decide(appraisal, confidence, bound) is not None:
            return ""
        best = appraisal.groups[0].members[0]
        return appraisal.neighbourhood.memories[best].outcome_key

    return lambda texts: [serve(text) for text in texts]


def _nearest(corpus: Corpus, vector: Vectors) -> Neighbourhood:
    similarities = corpus.vectors @ vector
    top = np.argsort(-similarities, kind="stable")[:K]
    found = similarities[top].astype(np.float64)
    memories = [corpus.memories[int(at)] for at in top]
    return Neighbourhood(memories, found, found, corpus.vectors[top])
