"""A whole evaluation on made-up questions: the contract, and that nothing is made up."""

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from arenalab.contrast import ContrastKind, ContrastPair
from arenalab.local.charts import has_matplotlib
from arenalab.local.evaluation.contender import Memory
from arenalab.local.evaluation.harness import Options, evaluate, evaluate_choices
from arenalab.local.evaluation.report import beyond_delta, markdown, write_report
from arenalab.local.evaluation.results import FLATTERY, Results
from arenalab.local.evaluation.suites.choices import (
    ChoiceQuestion,
    ChoiceRound,
    ChoiceTask,
    Published,
    Variant,
)
from arenalab.local.evaluation.task import Known, Round
from arenalab.local.evaluation.terminal import plot_lines, show
from arenalab.predictor.features import NAMES
from tests.unit.local.word_embedder import WordEmbedder, made_up_task

pytestmark = pytest.mark.slow
OPTIONS = Options(alphas=(0.05, 0.2), resplits=10)
ROW = {
    *("alpha", "kind", "coverage", "risk", "violations", "resplits", "oracle"),
    *("violations_by_noise", "violations_noise_allows"),
}
FIGURES = {"alphas", "ece", "brier", "auroc", "oos_auroc", "contrast_false_accept"}


def _quiet(what: str, done: int, total: int) -> None:
    assert what
    assert 0 <= done <= total


def _contrasts(memory: Memory) -> list[ContrastPair]:
    return [
        ContrastPair(ContrastKind.NEGATION, one.text, f"{one.text} not", key)
        for one, key in zip(memory.known[:60], memory.keys[:60], strict=True)
    ]


@pytest.fixture(scope="module")
def results() -> Results:
    options = replace(OPTIONS, ablate=True)
    return evaluate(made_up_task(), WordEmbedder(), options, _quiet, _contrasts)


def test_the_figures_have_the_names_of_the_contract(results: Results) -> None:
    form = json.loads(json.dumps(results.as_json(), allow_nan=False))
    assert set(form) >= FIGURES
    assert set(form["baselines"]) == {"semantic_cache", "vote_share", "top1_platt", "vcache"}
    for one in [form, *form["baselines"].values()]:
        assert set(one) >= FIGURES
        kinds = {(row["alpha"], row["kind"]) for row in one["alphas"]}
        assert {(a, k) for a in (0.05, 0.2) for k in ("high_probability", "expectation")} <= kinds
        for row in one["alphas"]:
            assert set(row) >= ROW
            assert row["resplits"] == 10
            assert 0 <= row["coverage"] <= 1
            if row["kind"] != "vcache":  # random, so its risk may be anything
                assert row["coverage"] <= row["oracle"] + 0.5
    assert form["calibration_n"] + form["evaluated_n"] == form["questions"] == 128
    assert form["in_scope"] == 64
    assert form["contrast_pairs"] == 60
    for one in [form, *form["baselines"].values()]:
        assert 0 <= one["contrast_false_accept"] <= 1
    # A cache cannot see a "not", and the predictor's guard does.
    fixed = form["baselines"]["semantic_cache"]["fixed_threshold"]
    assert fixed["contrast_false_accept"] > form["contrast_false_accept"] == 0


def test_something_is_served_and_it_is_mostly_right(results: Results) -> None:
    row = results.own.at(0.2, "high_probability")
    assert row is not None
    assert row.coverage is not None
    assert row.coverage > 0.2
    assert row.risk is not None
    assert row.risk < 0.2
    assert results.own.quality.auroc.value is not None
    assert results.own.quality.auroc.value > 0.8


def test_every_feature_is_left_out_once(results: Results) -> None:
    assert results.ablation is not None
    assert sorted(one.feature for one in results.ablation) == sorted(NAMES)


@pytest.fixture(scope="module")
def plain() -> tuple[Results, WordEmbedder]:
    """Results without the extras, and the embedder that was used."""
    embedder = WordEmbedder()
    return evaluate(made_up_task(), embedder, OPTIONS, _quiet), embedder


def test_the_seed_decides_every_figure(plain: tuple[Results, WordEmbedder]) -> None:
    same, other = (
        evaluate(made_up_task(), WordEmbedder(), replace(OPTIONS, seed=seed), _quiet).as_json()
        for seed in (0, 1)
    )
    assert plain[0].as_json() == same
    assert same["alphas"] != other["alphas"]


def test_every_text_is_embedded_once(plain: tuple[Results, WordEmbedder]) -> None:
    embedded = plain[1].embedded
    assert len(embedded) == len(set(embedded))


def test_without_a_contrast_generator_the_figure_is_absent_and_why_is_said(
    plain: tuple[Results, WordEmbedder],
) -> None:
    results, _ = plain
    assert results.own.contrast_false_accept is None
    assert "no generator" in results.not_computed["contrast_false_accept"]


def test_without_contrast_questions_the_figure_is_absent_and_why_is_said() -> None:
    results = evaluate(made_up_task(), WordEmbedder(), OPTIONS, _quiet, lambda _: [])
    assert results.as_json()["contrast_false_accept"] is None
    assert "could be made" in results.not_computed["contrast_false_accept"]


def test_too_few_questions_give_no_threshold() -> None:
    task = made_up_task()
    few = [Round(task.rounds[0].known, task.rounds[0].questions[20:90])]
    results = evaluate(replace(task, rounds=few), WordEmbedder(), OPTIONS, _quiet)
    assert "35 questions to calibrate with" in results.not_computed["alphas"]
    for row in results.as_json()["alphas"]:
        assert (row["coverage"], row["risk"], row["violations"], row["resplits"]) == (
            *(None, None, None),
            0,
        )
    assert "not computed" in markdown(results)


def test_a_dataset_that_teaches_nothing_claims_nothing() -> None:
    [one] = made_up_task().rounds
    alone = [Known("how do i fix my password today", "password")]
    task = replace(made_up_task(), rounds=[Round(alone, one.questions)])
    results = evaluate(task, WordEmbedder(), OPTIONS, _quiet)
    assert results.own.quality.ece.value is None
    assert "learnt no model" in results.not_computed["ece"]
    assert all(row.coverage == 0.0 and row.risk is None for row in results.own.alphas)


def test_the_folder_holds_the_object_the_report_and_the_plots(
    results: Results, tmp_path: Path
) -> None:
    files = write_report(results, tmp_path / "new/folder")
    assert json.loads(files[0].read_text()) == json.loads(json.dumps(results.as_json()))
    text = files[1].read_text()
    assert FLATTERY in text
    assert "of 60 generated questions" in text
    assert "of the contrast questions answered falsely" in text
    assert "| arenalab | high_probability | 5% |" in text
    rows = [line for line in text.splitlines() if line.startswith(("| arenalab | ", "| vcache | "))]
    [head] = [line for line in text.splitlines() if line.endswith("| by noise | noise allows |")]
    assert {line.count("|") for line in rows if " of " in line} == {head.count("|")}
    assert "vcache's own rule, errors among all requests" in text
    if not has_matplotlib():
        pytest.skip("matplotlib not found; source: pip install 'arenalab[eval]'")
    plots = files[2:]
    assert [plot.name for plot in plots] == ["risk_coverage.png", "reliability.png", "coverage.png"]
    for plot in plots:
        assert plot.read_bytes().startswith(b"\x89PNG")
        assert f"]({plot.name})" in text


def test_more_violations_than_delta_are_set_beside_what_noise_allows(results: Results) -> None:
    def sentences(violations: int) -> list[str]:
        row = results.own.at(0.2, "high_probability")
        assert row is not None
        told = replace(
            row,
            violations=violations,
            resplits=10,
            violations_by_noise=1,
            violations_noise_allows=1.2,
        )
        own = replace(results.own, alphas=[told])
        return list(beyond_delta(replace(results, delta=0.1, own=own)))

    [sentence] = sentences(2)
    assert "2 of 10 splits" in sentence
    assert "1 of them by the noise of measuring, which allows about 1 where" in sentence
    assert not sentences(1)


def test_the_curve_is_drawn_in_characters(results: Results) -> None:
    lines = list(plot_lines(results))
    assert any("*" in line for line in lines[1:-2])
    assert len({len(line) for line in lines[1:-1]}) == 1


def test_the_terminal_shows_the_tables_and_what_is_not_computed(
    plain: tuple[Results, WordEmbedder],
) -> None:
    screen = StringIO()
    show(plain[0], Console(file=screen, width=160))
    text = screen.getvalue()
    for part in ("high_probability", "oracle", "vcache's own rule", "coverage", FLATTERY[:60]):
        assert part in text
    assert "not computed: contrast_false_accept" in text


def test_multiple_choice_goes_through_the_same_figures() -> None:
    known = [Known(f"what is {n}", f"number {n}") for n in range(120)]
    asked = [
        ChoiceQuestion(f"say what is {n}", "all", (f"number {n}", f"letter {n}"), 0)
        for n in range(120)
    ]
    rounds = [ChoiceRound(known, asked)]
    published = (Published("someone", "mc1", 21.0, "somewhere"),)
    task = ChoiceTask("c", "C", [Variant("own", rounds)], (), "much", (50.0, 60.0), (), published)
    results = evaluate_choices(task, WordEmbedder(), OPTIONS, _quiet)
    form = results.as_json()
    assert set(form) >= FIGURES
    assert form["multiple_choice"]["variants"][0]["mc1"]["value"] > 0.9
    assert form["dataset_spans"] == 120
    assert form["oos_auroc"] is None
    screen = StringIO()
    show(results, Console(file=screen, width=160))
    text = markdown(results)
    for part in ("claimed: much; measured (MC1)", "someone, mc1: 21 %"):
        assert part in screen.getvalue()
        assert part in text
    assert "By category, own" in text
