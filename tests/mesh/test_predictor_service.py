"""PredictorService over real gRPC, with the real search, planner, embedder and dataset store."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from arenalab.api.common.v1 import answer_pb2, filter_pb2, message_pb2, plan_pb2, span_pb2
from arenalab.api.predictor.v1 import predictor_service_pb2 as pb
from arenalab.api.predictor.v1 import predictor_service_pb2_grpc as pb_grpc
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.api.search.v1 import search_service_pb2_grpc as search_grpc
from arenalab.atomic import Span, to_proto
from arenalab.dataset import DatasetStore, Embedder, Settings
from arenalab.mesh import (
    DataLossError,
    InvalidInputError,
    NotFoundError,
    NotReadyError,
    PreconditionError,
    Reason,
    Telemetry,
    connect,
    scope_for,
)
from arenalab.planner.config import PlannerConfig
from arenalab.planner.wiring import running_planner
from arenalab.predictor.config import PredictorConfig
from arenalab.predictor.training_job import TrainedFiles, TrainingJob, run_job
from arenalab.predictor.wiring import running_predictor
from arenalab.search.config import SearchConfig
from arenalab.search.embedder.factory import open_embedder
from arenalab.search.embedder.protocol import Embedder as TextEmbedder
from arenalab.search.wiring import running_search
from arenalab.testing.spans import make_span

KEY = SigningKey(bytes(range(32)))
FREE = "127.0.0.1:0"
NOWHERE = "127.0.0.1:1"

# Twelve matters that have nothing to do with each other, so that a small dataset is
# enough for a guarantee.
_MATTERS = {
    "bread": "bake sourdough bread",
    "guitar": "tune an acoustic guitar",
    "passport": "renew my passport",
    "bicycle": "repair a flat bicycle tyre",
    "tomato": "grow tomatoes on a balcony",
    "printer": "unjam the office printer",
    "knot": "tie a bowline knot",
    "chess": "play the sicilian defence in chess",
    "candle": "make scented candles",
    "cactus": "water a cactus",
    "piano": "move a grand piano upstairs",
    "swim": "learn to swim the butterfly stroke",
}
_WORDINGS = (
    "How do I {}?",
    "What is the best way to {}?",
    "Please explain how to {}",
    "I would like to {}",
    "Tell me how one can {}",
    "Steps to {}",
    "Can you help me to {}?",
    "Is there a guide on how to {}?",
)
SPANS = [
    make_span(wording.format(matter), f"Guide: {name}", domain=f"hobby/{name}")
    for name, matter in _MATTERS.items()
    for wording in _WORDINGS
]
SWITCH = [
    make_span(text, outcome, domain="lamp")
    for text, outcome in (
        ("How do I enable the night light?", "Press the moon."),
        ("how to enable night light mode", "Press the moon."),
        ("enabling the night light", "Press the moon."),
        *((span.this, span.if_ok or "") for span in SPANS),
    )
]


@dataclass
class Mesh:
    """Search, planner and predictor on one store."""

    datasets: DatasetStore
    embedder: TextEmbedder
    config: PredictorConfig
    predictor: "pb_grpc.PredictorServiceAsyncStub"
    search: "search_grpc.SearchServiceAsyncStub"

    async def publish(
        self,
        spans: Sequence[Span],
        dataset: str = "hobby",
        change: Callable[[TrainedFiles], TrainedFiles] = lambda files: files,
        *,
        tenant: str = "default",
        trained: TrainedFiles | None = None,
    ) -> str:
        """Stages, trains, seals and publishes, as the curator does; returns the version.

        Files that are `trained` already take the place of the training, which takes seconds.
        """
        with self.datasets.staging(tenant, dataset) as staging:
            staging.write_spans(spans)
            vectors = self.embedder.embed_many([span.this for span in spans])
            staging.write_embeddings([vectors], rows=len(spans), dimension=vectors.shape[1])
            root = str(self.config.datasets_dir)
            # In this process: a new one takes seconds to start, and has a test of its own.
            job = TrainingJob(root, tenant, dataset, staging.name, 0.1, 0.1)
            files = change(trained or run_job(job))
            staging.write_calibration(files.artefact, files.views)
            sealed = staging.seal(
                KEY,
                embedder=Embedder(self.embedder.id, self.embedder.digest, vectors.shape[1]),
                settings=Settings(alpha=0.1, delta=0.1, min_quality=0.0, max_per_domain=0),
                quality={},
                calibration={},
                build_time="2026-11-20T10:00:00Z",
            )
        version = sealed.manifest.version
        await self.search.Publish(
            search_pb.PublishRequest(
                scope=scope_for(tenant), dataset=dataset, dataset_version=version
            )
        )
        return version

    async def ask(self, *turns: str, **fields: object) -> pb.PredictResponse:
        messages = [turn_of(turn) for turn in turns]
        return await self.predictor.Predict(pb.PredictRequest(messages=messages, **fields))  # type: ignore[arg-type]


def turn_of(
    text: str, role: message_pb2.Role.ValueType = message_pb2.ROLE_USER
) -> message_pb2.Message:
    """Returns one turn."""
    return message_pb2.Message(role=role, content=text)


@pytest.fixture(scope="module")
def embedder() -> Iterator[TextEmbedder]:
    opened = open_embedder()
    yield opened
    opened.close()


@pytest.fixture
async def mesh(tmp_path: Path, embedder: TextEmbedder) -> AsyncIterator[Mesh]:
    datasets = tmp_path / "datasets"
    telemetry = Telemetry("test")
    (tmp_path / "creatures.toml").write_text(
        '[[creature]]\nname = "baker"\ndataset = "hobby"\ndomains = ["hobby/bread"]\n'
    )
    config = PredictorConfig(
        address=FREE,
        home=tmp_path / "predictor",
        datasets_dir=datasets,
        creatures_path=tmp_path / "creatures.toml",
        planner_timeout_s=30.0,  # an answer without a plan says so
    )
    search_config = SearchConfig(
        address=FREE, store_path=tmp_path / "spans.sqlite", datasets_dir=datasets
    )
    async with running_search(search_config, telemetry, embedder) as search_port:
        at_search = f"127.0.0.1:{search_port}"
        planner_config = PlannerConfig(address=FREE, search_address=at_search)
        async with running_planner(planner_config, telemetry) as planner_port:
            config = replace(
                config, search_address=at_search, planner_address=f"127.0.0.1:{planner_port}"
            )
            async with (
                running_predictor(config, telemetry) as port,
                connect(f"127.0.0.1:{port}", telemetry) as to_predictor,
                connect(at_search, telemetry) as to_search,
            ):
                yield Mesh(
                    DatasetStore(datasets),
                    embedder,
                    config,
                    pb_grpc.PredictorServiceStub(to_predictor),
                    search_grpc.SearchServiceStub(to_search),
                )


@pytest.mark.slow
async def test_a_known_question_in_other_words_is_answered(mesh: Mesh) -> None:
    version = await mesh.publish(SPANS)
    said = await mesh.ask("how can I tune a guitar")
    assert not said.HasField("abstention")
    assert said.output == "Guide: guitar"
    assert said.method == answer_pb2.ANSWER_METHOD_MAJORITY
    assert said.guarantee.status == answer_pb2.GUARANTEE_STATUS_VALID
    assert said.confidence >= said.guarantee.threshold > 0
    assert said.guarantee.risk_upper_bound <= said.guarantee.alpha == 0.1
    assert (said.dataset, said.dataset_version, said.creature) == ("hobby", version, "hobby")
    assert said.exact
    assert said.plan.explanation
    assert said.inferred_context.environment == "hobby/guitar"
    assert said.trajectories_used > 0
    assert [e.supports for e in said.evidence] == [True] * 5
    weights = [e.weight for e in said.evidence]
    assert weights == sorted(weights, reverse=True)
    assert said.output not in [a.outcome for a in said.alternatives]
    [sentence] = said.sentences
    assert sentence.text == said.output
    assert len(sentence.span_ids) == 5
    assert set(sentence.span_ids) >= {said.evidence[0].span_id}
    assert said.evidence[0].when.ToJsonString() == "2026-01-05T10:00:00Z"


@pytest.mark.slow
async def test_the_same_request_gives_the_same_bytes(mesh: Mesh) -> None:
    await mesh.publish(SPANS)
    first = await mesh.ask("repairing a flat tyre", max_evidence=50, bypass_cache=True)
    again = await mesh.ask("repairing a flat tyre", max_evidence=50, bypass_cache=True)
    assert first.SerializeToString(deterministic=True) == again.SerializeToString(
        deterministic=True
    )


@pytest.mark.slow
async def test_a_question_about_something_else_is_out_of_scope(mesh: Mesh) -> None:
    await mesh.publish(SPANS)
    said = await mesh.ask("Which treaty ended the Thirty Years War?")
    assert said.abstention.reason == answer_pb2.ABSTAIN_REASON_OUT_OF_SCOPE
    assert f"{said.confidence:.3f}" in said.abstention.explanation
    assert "treaty" in said.abstention.wanted
    [wanted] = said.abstention.data
    assert wanted.kind == answer_pb2.WANTED_KIND_SPANS
    assert "treaty" in wanted.terms
    similarities = [e.similarity for e in said.abstention.nearest]
    assert len(similarities) == 3
    assert similarities == sorted(similarities, reverse=True)


@pytest.mark.slow
async def test_an_opposite_question_is_not_answered(mesh: Mesh) -> None:
    await mesh.publish(SWITCH, "lamp")
    same = await mesh.ask("how can I enable the night light")
    assert same.output == "Press the moon."
    assert same.abstention.reason != answer_pb2.ABSTAIN_REASON_CONTRAST_CLASH
    said = await mesh.ask("How do I disable the night light?")
    assert said.abstention.reason == answer_pb2.ABSTAIN_REASON_CONTRAST_CLASH
    assert "opposite" in said.abstention.explanation


@pytest.mark.slow
async def test_a_follow_up_is_read_with_the_turn_before(mesh: Mesh) -> None:
    await mesh.publish(SPANS)
    said = await mesh.ask("I want to water a cactus", "and how do I do that?")
    assert said.output == "Guide: cactus"
    assert "turns before" in said.reasoning


@pytest.mark.slow
async def test_a_follow_up_about_something_else_is_not_given_the_answer_before(mesh: Mesh) -> None:
    await mesh.publish(SPANS)
    said = await mesh.ask("How do I tune an acoustic guitar?", "and for a harpsichord?")
    assert said.abstention.reason == answer_pb2.ABSTAIN_REASON_NO_SUPPORT
    assert list(said.abstention.data[0].terms) == ["harpsichord"]
    assert "How do I tune an acoustic guitar for a harpsichord?" in said.reasoning
    said = await mesh.ask("How do I tune an acoustic guitar?", "what about the other one?")
    assert said.abstention.reason == answer_pb2.ABSTAIN_REASON_UNSUPPORTED_REQUEST
    assert said.abstention.data[0].kind == answer_pb2.WANTED_KIND_CONTEXT


@pytest.mark.slow
async def test_an_answer_older_than_the_caller_allows_is_stale(mesh: Mesh) -> None:
    await mesh.publish(SPANS)
    request = pb.PredictRequest(messages=[turn_of("How do I tie a bowline knot?")])
    request.fresh_after.FromJsonString("2026-01-05T10:00:00Z")
    assert not (await mesh.predictor.Predict(request)).HasField("abstention")
    request.fresh_after.FromJsonString("2026-01-05T10:00:01Z")
    said = await mesh.predictor.Predict(request)
    assert said.abstention.reason == answer_pb2.ABSTAIN_REASON_STALE
    [wanted] = said.abstention.data
    assert (wanted.outcome, wanted.domain, wanted.count) == ("Guide: knot", "hobby/knot", 1)


@pytest.mark.slow
async def test_a_smaller_alpha_than_the_data_allows_is_void(mesh: Mesh) -> None:
    await mesh.publish(SPANS)
    said = await mesh.ask("How do I tie a bowline knot?", alpha=0.001)
    assert said.abstention.reason == answer_pb2.ABSTAIN_REASON_GUARANTEE_VOID
    assert said.guarantee.status == answer_pb2.GUARANTEE_STATUS_VOID
    assert not said.guarantee.HasField("threshold")
    assert said.output == "Guide: knot"
    [wanted] = said.abstention.data
    assert wanted.kind == answer_pb2.WANTED_KIND_LABELS
    assert wanted.count > len(SPANS)


@pytest.mark.slow
async def test_the_guarantee_is_of_the_kind_and_scope_that_were_asked_for(mesh: Mesh) -> None:
    await mesh.publish(SPANS)
    question = "How do I tie a bowline knot?"
    first = (await mesh.ask(question)).guarantee
    assert first.kind == answer_pb2.GUARANTEE_KIND_HIGH_PROBABILITY
    assert (first.scope, first.group) == (answer_pb2.GUARANTEE_SCOPE_ALL, "")
    kind = answer_pb2.GUARANTEE_KIND_EXPECTATION
    averaged = (await mesh.ask(question, guarantee_kind=kind)).guarantee
    assert (averaged.kind, averaged.delta) == (kind, 0.0)
    assert averaged.calibration_served >= first.calibration_served
    errors, served = averaged.calibration_errors, averaged.calibration_served
    assert averaged.risk_upper_bound == pytest.approx((1 + errors) / served)
    scope = answer_pb2.GUARANTEE_SCOPE_GROUP
    said = await mesh.ask(question, guarantee_scope=scope)
    # Eight spans of a hobby bound nothing, and nothing is borrowed from the others.
    assert (said.guarantee.scope, said.guarantee.group) == (scope, "hobby/knot")
    assert said.guarantee.status == answer_pb2.GUARANTEE_STATUS_VOID
    assert said.abstention.reason == answer_pb2.ABSTAIN_REASON_GUARANTEE_VOID


@pytest.mark.slow
async def test_the_outcome_set_names_its_coverage_and_begins_with_the_output(mesh: Mesh) -> None:
    await mesh.publish(SPANS)
    said = await mesh.ask("how can I tune a guitar")
    assert said.outcome_set.outcomes[0] == said.output
    assert said.outcome_set.coverage == pytest.approx(0.9)
    assert 0 < said.outcome_set.calibration_size <= len(SPANS)
    few = await mesh.ask("how can I tune a guitar", alpha=0.001)
    assert not few.HasField("outcome_set")


@pytest.mark.slow
async def test_an_artefact_of_another_program_is_not_served_from(mesh: Mesh) -> None:
    def older(files: TrainedFiles) -> TrainedFiles:
        return replace(files, artefact=files.artefact.replace(b"calibration/3", b"calibration/2"))

    def without_views(files: TrainedFiles) -> TrainedFiles:
        return replace(files, views=b"")

    for change in (older, without_views):
        await mesh.publish(SPANS, change=change)
        with pytest.raises(PreconditionError) as caught:
            await mesh.ask("How do I tie a bowline knot?")
        assert caught.value.reason is Reason.NOT_CALIBRATED


@pytest.mark.slow
async def test_a_creature_answers_from_its_slice_alone(mesh: Mesh) -> None:
    await mesh.publish(SPANS)
    said = await mesh.ask("How do I bake bread?", creature="baker")
    assert said.creature == "baker"
    assert {e.domain for e in said.evidence} == {"hobby/bread"}
    listed = await mesh.predictor.ListCreatures(pb.ListCreaturesRequest())
    assert [c.name for c in listed.creatures] == ["hobby", "baker"]
    assert listed.creatures[0].spans == len(SPANS)
    assert list(listed.creatures[1].filter.domains) == ["hobby/bread"]
    assert listed.creatures[0].guarantee.status == answer_pb2.GUARANTEE_STATUS_VALID
    disjoint = filter_pb2.SpanFilter(domains=["hobby/chess"])
    said = await mesh.ask("How do I bake bread?", creature="baker", filter=disjoint)
    assert said.abstention.reason == answer_pb2.ABSTAIN_REASON_NO_SUPPORT
    assert said.method == answer_pb2.ANSWER_METHOD_NONE


@pytest.mark.slow
async def test_an_action_that_nobody_took_has_no_support(mesh: Mesh) -> None:
    await mesh.publish(SPANS)
    said = await mesh.ask("How do I bake bread?", action="launch_rocket")
    assert said.abstention.reason == answer_pb2.ABSTAIN_REASON_NO_SUPPORT
    assert (await mesh.ask("How do I bake bread?", action="ask_questions")).evidence


@pytest.mark.slow
async def test_the_spans_of_an_action_are_found_by_its_meaning_however_few(mesh: Mesh) -> None:
    stops = [
        make_span(f"My {thing} is late", f"Stopped the {thing}.", did="stop_order")
        for thing in ("bread", "guitar")
    ]
    await mesh.publish([*SPANS, *stops])
    said = await mesh.ask("How do I bake bread?", action="cancel_order")
    assert {e.span_id for e in said.evidence} == {span.id for span in stops}


@pytest.mark.slow
async def test_wordings_of_one_outcome_are_one_alternative_and_their_spans_are_named(
    mesh: Mesh,
) -> None:
    post, mail, online = (
        "Send the completed form to our office by post.",
        "Please send the completed form by post to our office.",
        "Use the kiosk at the airport.",
    )
    forms = [
        make_span(question, outcome)
        for question, outcome in (
            ("Where does the harbour form go?", post),
            ("Where do I send the harbour form?", mail),
            ("Where can the harbour form go?", online),
            ("Where do I bring the harbour form?", online),
        )
    ]
    await mesh.publish([*SPANS, *forms])
    said = await mesh.ask("Where should the harbour form go to?")
    wordings = {a.outcome: a.wordings for a in said.alternatives}
    by_post = [e for e in said.evidence if e.outcome in (post, mail)]
    assert len(by_post) == 2
    if said.output == online:
        assert wordings.get(post, 0) + wordings.get(mail, 0) == 2
    else:
        assert said.output.startswith((post, mail))
        assert "in 2 wordings" in said.reasoning
        assert all(e.supports for e in by_post)
    spans = {span.id: span.if_ok or "" for span in forms}
    for alternative in said.alternatives:
        assert alternative.support >= len(alternative.span_ids) > 0
    for sentence in said.sentences:
        assert all(sentence.text in spans[i] for i in sentence.span_ids)


@pytest.mark.slow
async def test_a_text_is_checked_against_sentences_by_meaning_words_and_numbers(
    mesh: Mesh,
) -> None:
    evidence = [
        answer_pb2.Sentence(
            text="Send form A38 to the Berlin office within 14 days.", span_ids=["s1"]
        ),
        answer_pb2.Sentence(text="You can pay the fee by card.", span_ids=["s2"]),
    ]

    async def check(text: str) -> pb.CheckSupportResponse:
        return await mesh.predictor.CheckSupport(
            pb.CheckSupportRequest(text=text, evidence=evidence)
        )

    good = await check(
        "Within 14 days, send the form A38 to the office in Berlin. Pay the fee by card."
    )
    assert good.supported
    assert [list(one.sentence.span_ids) for one in good.sentences] == [["s1"], ["s2"]]
    for text, term in (
        ("You can pay the fee by card. Send form A38 to Berlin within 30 days.", "30"),
        ("You cannot pay the fee by card.", ""),
        ("The office is closed during the summer.", ""),
    ):
        bad = await check(text)
        assert not bad.supported
        assert not bad.sentences[-1].supported
        assert not term or term in bad.sentences[-1].unsupported_terms


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (pb.CheckSupportRequest(text=" ", evidence=[answer_pb2.Sentence()]), Reason.EMPTY_TEXT),
        (pb.CheckSupportRequest(text="x"), Reason.INVALID_ARGUMENT),
        (
            pb.CheckSupportRequest(text="x" * 32_769, evidence=[answer_pb2.Sentence(text="x")]),
            Reason.TOO_LARGE,
        ),
        (
            pb.CheckSupportRequest(text="x", evidence=[answer_pb2.Sentence(text=" ")]),
            Reason.EMPTY_TEXT,
        ),
    ],
)
async def test_a_check_outside_its_ranges_is_refused(
    mesh: Mesh, request_: pb.CheckSupportRequest, reason: Reason
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await mesh.predictor.CheckSupport(request_)
    assert caught.value.reason is reason


@pytest.mark.slow
async def test_spans_added_online_vote_too(mesh: Mesh) -> None:
    await mesh.publish(SPANS)
    added = make_span("How do I polish a silver spoon?", "Use chalk.", domain="hobby/silver")
    earlier = make_span("Is my spoon silver?", "Yes.", did="identify")
    after = make_span(
        "How do I polish my silver spoons?", "Use chalk.", previous_spans=(earlier.id,)
    )
    await mesh.search.AddSpans(
        search_pb.AddSpansRequest(
            dataset="hobby", spans=[to_proto(earlier), to_proto(added), to_proto(after)]
        )
    )
    said = await mesh.ask("polishing a silver spoon")
    assert said.output == "Use chalk."
    assert {e.trajectory_depth for e in said.evidence if e.span_id == after.id} == {1}
    context = span_pb2.SpanContext(previous_spans=[earlier.id])
    again = await mesh.ask("polishing a silver spoon", context=context)
    assert list(again.inferred_context.previous_spans) == [earlier.id]


@pytest.mark.slow
async def test_a_trained_process_gives_the_same_artefact(mesh: Mesh) -> None:
    with mesh.datasets.staging("default", "hobby") as staging:
        staging.write_spans(SPANS)
        vectors = mesh.embedder.embed_many([span.this for span in SPANS])
        staging.write_embeddings([vectors], rows=len(SPANS), dimension=vectors.shape[1])
        request = pb.TrainCalibrationRequest(
            dataset="hobby",
            staging=staging.name,
            alpha=0.1,
            delta=0.1,
            context_weighting=answer_pb2.CONTEXT_WEIGHTING_LEARNED,
        )
        trained = await mesh.predictor.TrainCalibration(request, timeout=100.0)
        root = str(mesh.config.datasets_dir)
        job = TrainingJob(root, "default", "hobby", staging.name, 0.1, 0.1, "learned")
        files = run_job(job)
        assert (trained.artefact, trained.views) == (files.artefact, files.views)
        assert trained.views
        assert trained.summary.guarantee.basis == answer_pb2.CALIBRATION_BASIS_DATASET_HOLDOUT
        assert 0 < trained.summary.coverage <= 1
        assert trained.summary.examples == len(SPANS)
        contrast = trained.summary.contrast
        assert contrast.total.pairs == sum(one.pairs for one in contrast.by_kind) > 0
        assert contrast.total.rate <= 0.1
        assert 0.0 <= contrast.total.lower <= contrast.total.rate <= contrast.total.upper < 1.0
        weights = trained.summary.context_weights
        assert weights.fixed.domain == 0.30
        assert weights.HasField("learned")
        assert weights.questions > 0
        assert weights.uses_learned
        unknown = pb.TrainCalibrationRequest(dataset="hobby", staging=staging.name)
        unknown.context_weighting = 9  # type: ignore[assignment]
        with pytest.raises(InvalidInputError, match="context_weighting"):
            await mesh.predictor.TrainCalibration(unknown)
        (staging.path / "spans.ndjson.zst").write_bytes(b"damaged")
        with pytest.raises(DataLossError) as caught:
            await mesh.predictor.TrainCalibration(request)
        assert caught.value.reason is Reason.CORRUPT_DATASET
    with pytest.raises(NotFoundError) as missing:
        await mesh.predictor.TrainCalibration(request)
    assert missing.value.reason is Reason.UNKNOWN_DATASET


def _stream(header: pb.CalibrateHeader | None, count: int) -> Iterator[pb.CalibrateRequest]:
    if header is not None:
        yield pb.CalibrateRequest(header=header)
    for n in range(count):
        name, matter = list(_MATTERS.items())[n % len(_MATTERS)]
        yield pb.CalibrateRequest(
            example=pb.LabelledQuestion(
                question=f"Number {n}: somebody asked me to {matter}", outcomes=[f"Guide: {name}"]
            )
        )


@pytest.mark.slow
async def test_labelled_traffic_sets_the_threshold_and_survives_a_restart(mesh: Mesh) -> None:
    version = await mesh.publish(SPANS)
    header = pb.CalibrateHeader(alpha=0.2, delta=0.2)
    reply = await mesh.predictor.Calibrate(_stream(header, 60))
    assert reply.dataset_version == version
    guarantee = reply.summary.guarantee
    assert guarantee.basis == answer_pb2.CALIBRATION_BASIS_LABELLED_TRAFFIC
    assert (guarantee.calibration_size, guarantee.alpha) == (60, 0.2)
    assert (await mesh.ask("How do I bake bread?")).guarantee == guarantee
    telemetry = Telemetry("test")
    async with (
        running_predictor(mesh.config, telemetry) as port,
        connect(f"127.0.0.1:{port}", telemetry) as channel,
    ):
        restarted = pb_grpc.PredictorServiceStub(channel)
        listed = await restarted.ListCreatures(pb.ListCreaturesRequest())
    assert listed.creatures[0].guarantee == guarantee


@pytest.mark.slow
async def test_a_calibration_without_header_or_examples_is_refused(mesh: Mesh) -> None:
    await mesh.publish(SPANS)
    with pytest.raises(InvalidInputError, match="at least 50"):
        await mesh.predictor.Calibrate(_stream(pb.CalibrateHeader(), 49))
    with pytest.raises(InvalidInputError, match="header"):
        await mesh.predictor.Calibrate(_stream(None, 60))


@pytest.mark.slow
async def test_without_the_planner_the_answer_is_the_same_and_says_so(mesh: Mesh) -> None:
    await mesh.publish(SPANS)
    telemetry = Telemetry("test")
    config = replace(mesh.config, planner_address=NOWHERE)
    request = pb.PredictRequest(messages=[turn_of("water the cactus")])
    async with (
        running_predictor(config, telemetry) as port,
        connect(f"127.0.0.1:{port}", telemetry) as channel,
    ):
        said = await pb_grpc.PredictorServiceStub(channel).Predict(request)
    assert said.output == "Guide: cactus"
    assert "planner could not be reached" in said.reasoning
    assert said.plan.engine == plan_pb2.ENGINE_EXACT  # the one that search made


async def test_without_search_nothing_is_ready(tmp_path: Path) -> None:
    telemetry = Telemetry("test")
    config = PredictorConfig(
        address=FREE, home=tmp_path, search_address=NOWHERE, planner_address=NOWHERE
    )
    request = pb.PredictRequest(messages=[turn_of("hello there")])
    async with (
        running_predictor(config, telemetry) as port,
        connect(f"127.0.0.1:{port}", telemetry) as channel,
    ):
        with pytest.raises(NotReadyError):
            await pb_grpc.PredictorServiceStub(channel).Predict(request)


async def test_before_anything_is_published_there_is_no_dataset(mesh: Mesh) -> None:
    with pytest.raises(PreconditionError) as caught:
        await mesh.ask("hello there")
    assert caught.value.reason is Reason.NO_DATASET
    with pytest.raises(NotFoundError) as unknown:
        await mesh.ask("hello there", creature="nobody")
    assert unknown.value.reason is Reason.UNKNOWN_MODEL
    assert not (await mesh.predictor.ListCreatures(pb.ListCreaturesRequest())).creatures


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"messages": []}, Reason.INVALID_ARGUMENT),
        ({"messages": [message_pb2.Message(content="x")]}, Reason.INVALID_ARGUMENT),
        ({"messages": [turn_of(" ")]}, Reason.EMPTY_TEXT),
        ({"messages": [turn_of("x", message_pb2.ROLE_ASSISTANT)]}, Reason.EMPTY_TEXT),
        ({"messages": [turn_of("x" * 262_145)]}, Reason.TOO_LARGE),
        ({"alpha": 0.6}, Reason.INVALID_ARGUMENT),
        ({"delta": float("nan")}, Reason.INVALID_ARGUMENT),
        ({"max_evidence": 51}, Reason.INVALID_ARGUMENT),
        ({"guarantee_kind": 9}, Reason.INVALID_ARGUMENT),
        ({"guarantee_scope": 9}, Reason.INVALID_ARGUMENT),
    ],
)
async def test_a_request_outside_its_ranges_is_refused(
    mesh: Mesh, fields: dict[str, object], reason: Reason
) -> None:
    question = [turn_of("hello there")]
    request = pb.PredictRequest(**({"messages": question} | fields))  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError) as caught:
        await mesh.predictor.Predict(request)
    assert caught.value.reason is reason
