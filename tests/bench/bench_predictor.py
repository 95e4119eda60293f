"""Predictor benchmark: what one answer costs beside the search that found its evidence.

Publishes (in process) a corpus, retrieves 50 spans for each question by exact search, and times
all of the predictor's own work on them: from the hits of a search response to the bytes of its
own. Beside it, in the same run, what the question costs before: its embedding; and one NumPy pass
over the same neighbourhood, its matrix of cosines.

The corpus is CLINC150 where the data is there (ARENALAB_DATA, a folder that holds clinc150/),
else the built-in dataset. Prints a table and, as its last line, one JSON object. Run: python
tests/bench/bench_predictor.py
"""

import argparse
import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from arenalab.api.predictor.v1 import predictor_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.atomic import Context, Span, Status, derived_span, parse_line, to_proto
from arenalab.curator import builtin
from arenalab.predictor.appraisal import Appraisal, appraise
from arenalab.predictor.artefact import dump_artefact, load_artefact
from arenalab.predictor.calibrated import Calibrated
from arenalab.predictor.conversation import read_conversation
from arenalab.predictor.hits import HitReader, SpanRows
from arenalab.predictor.holdout import Corpus
from arenalab.predictor.meaning import MAX_CHARS, Cluster, cluster, competing, is_label
from arenalab.predictor.neighbourhood import K, Neighbourhood, Query, Vectors
from arenalab.predictor.prediction import Reading
from arenalab.predictor.responses import prediction_response
from arenalab.predictor.staged import memory_of
from arenalab.predictor.training import train
from arenalab.predictor.view_files import dump_views, load_views
from arenalab.predictor.vote import gram_of
from arenalab.search.embedder.factory import open_embedder
from arenalab.search.embedder.protocol import Embedder

SPANS_PER_INTENT = 30
QUESTIONS = 400


@dataclass
class Case:
    """Spans to answer from, and questions to ask."""

    name: str
    spans: Sequence[Span]
    questions: Sequence[str]


def clinc150(folder: Path, per_intent: int) -> Case:
    splits = json.loads((folder / "data_full.json").read_text())
    by_domain = json.loads((folder / "domains.json").read_text())
    domains = {intent: domain for domain, intents in by_domain.items() for intent in intents}
    seen: Counter[str] = Counter()
    spans = []
    for text, intent in splits["train"]:
        seen[intent] += 1
        if seen[intent] <= per_intent:
            spans.append(
                derived_span(
                    source="public_dataset",
                    who="clinc150",
                    did="ask_question",
                    this=text,
                    when="2019-01-01T00:00:00Z",
                    status=Status.COMPLETED,
                    if_ok=intent,
                    confirmed_by="clinc150",
                    context=Context(environment=domains[intent]),
                )
            )
    step = len(splits["test"]) // QUESTIONS
    return Case("clinc150", spans, [text for text, _ in splits["test"][::step]][:QUESTIONS])


def built_in() -> Case:
    file = Path(builtin.__file__).with_name("arenalab.ndjson")
    spans = [parse_line(line) for line in file.read_bytes().splitlines()]
    return Case("built-in", spans, [f"please tell me: {span.this}" for span in spans[:QUESTIONS]])


def milliseconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - begun) / 1e6


class Desk:
    """A trained corpus, and the predictor's work on one search response."""

    def __init__(self, case: Case, embedder: Embedder) -> None:
        self.spans = [span for span in case.spans if span.outcome is not None]
        self.vectors: Vectors = embedder.embed_many([span.this for span in self.spans])
        self.protos = [to_proto(span) for span in self.spans]
        self.reader = HitReader(SpanRows(span.id for span in self.spans))
        memories = [memory_of(span, ()) for span in self.spans]
        # Of outcomes that may have to be compared: the service remembers them as this does.
        outcomes = {memory.outcome[:MAX_CHARS] for memory in memories}
        texts = sorted(text for text in outcomes if not is_label(text))
        meanings = embedder.embed_many(texts) if texts else ()
        self.meanings: dict[str, Vectors] = dict(zip(texts, meanings, strict=True))
        begun = time.process_time()
        trained = train(Corpus(memories, self.vectors, np.ones(len(memories), bool)))
        self.train_s = time.process_time() - begun
        files = dump_artefact(trained.artefact), dump_views(trained.views)
        self.bytes = sum(map(len, files))
        self.calibrated = Calibrated(load_artefact(files[0]), load_views(files[1]))

    def found(self, vector: Vectors) -> search_pb.SearchTextResponse:
        similarities = self.vectors @ vector
        top = np.argsort(-similarities, kind="stable")[:K].tolist()
        return search_pb.SearchTextResponse(
            hits=[
                search_pb.Hit(span=self.protos[at], similarity=float(similarities[at]))
                for at in top
            ],
            dataset="bench",
            dataset_version="0" * 64,
            vector=vector.astype("<f4").tobytes(),
        )

    def predict(self, text: str, found: search_pb.SearchTextResponse) -> bytes:
        """Does what the service does between the search's response and its own."""
        read = self.reader.read(found.hits)
        similarities = np.array([hit.similarity for hit in read.hits], dtype=np.float64)
        hood = Neighbourhood(read.memories, similarities, similarities, self.vectors[read.rows])
        views = self.calibrated.views
        vector = np.frombuffer(found.vector, dtype="<f4").reshape(1, -1)
        opinion = None if views is None else views.opinions([text], vector)[0]
        appraisal = appraise(
            Query(text),
            hood,
            opinion,
            self.calibrated.artefact.mixing,
            self.calibrated.context_weights,
        )
        asked = read_conversation([text])
        reading = Reading(asked, appraisal, self.calibrated, "bench", found, None, ())
        clusters = self.clusters(appraisal)
        return prediction_response(reading, clusters, pb.PredictRequest()).SerializeToString()

    def clusters(self, appraisal: Appraisal) -> list[Cluster]:
        texts = competing(appraisal.groups)
        vectors = np.stack([self.meanings[text] for text in texts]) if texts else None
        return cluster(appraisal.groups, texts, vectors, is_mixed=appraisal.is_mixed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=SPANS_PER_INTENT, help="spans per intent")
    arguments = parser.parse_args()
    folder = Path(os.environ.get("ARENALAB_DATA", "../shared/data")) / "clinc150"
    there = (folder / "data_full.json").exists()
    case = clinc150(folder, arguments.spans) if there else built_in()
    embedder = open_embedder(workers=1)
    desk = Desk(case, embedder)
    texts = [*case.questions[:20], *case.questions]  # the first twenty warm up
    # Retrieval is search's, in another process: its threads must not wait beside what is timed.
    with threadpool_limits(limits=1):
        vectors = [embedder.embed(text) for text in texts]
        founds = [desk.found(vector) for vector in vectors]
        nearest = [
            desk.vectors[np.argsort(-(desk.vectors @ vector), kind="stable")[:K]]
            for vector in vectors
        ]
    embed = [milliseconds(partial(embedder.embed, text)) for text in texts]
    gram = [milliseconds(partial(gram_of, near)) for near in nearest]
    predict = [
        milliseconds(partial(desk.predict, text, found))
        for text, found in zip(texts, founds, strict=True)
    ]
    embedder.close()
    p50 = {
        name: statistics.median(times[20:])
        for name, times in (("predict", predict), ("embed", embed), ("gram", gram))
    }
    p95 = statistics.quantiles(predict[20:], n=20)[18]
    print(f"{case.name}: {len(desk.spans):,} spans, {len(case.questions)} questions, K = {K}")
    print(f"{'':34}{'p50 ms':>9}{'share of embedding':>20}")
    for label, name in (
        ("predictor's own work", "predict"),
        ("embedding the question", "embed"),
        ("cosines of the neighbourhood", "gram"),
    ):
        print(f"{label:34}{p50[name]:9.3f}{p50[name] / p50['embed']:20.2f}")
    print(f"training took {desk.train_s:.1f} s of CPU; its files are {desk.bytes / 1e6:.1f} MB")
    figures = {
        "predict_p50_ms": round(p50["predict"], 4),
        "predict_p95_ms": round(p95, 4),
        "embed_p50_ms": round(p50["embed"], 4),
        "gram_p50_ms": round(p50["gram"], 4),
        "predict_to_embed": round(p50["predict"] / p50["embed"], 3),
        "train_cpu_s": round(desk.train_s, 2),
        "artefact_bytes": desk.bytes,
        "data": case.name,
        "spans": len(desk.spans),
        "k": K,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
