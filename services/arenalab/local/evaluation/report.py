"""The results as Markdown, and the folder that a run leaves behind."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from arenalab.local.charts import has_matplotlib
from arenalab.local.evaluation.figures import Measured
from arenalab.local.evaluation.multiple_choice import ChoiceResults, Rate, VariantResults
from arenalab.local.evaluation.plots import draw_plots
from arenalab.local.evaluation.resampling import OWN_RULE, AlphaFigures, Interval
from arenalab.local.evaluation.results import FLATTERY, ContenderResults, Results

_FEATURES_SHOWN = 15


def write_report(results: Results, folder: Path) -> list[Path]:
    """Writes results.json, report.md and the plots; returns what was written.

    Without matplotlib there are no plots.

    Raises:
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plots = draw_plots(results, folder) if has_matplotlib() else []
    as_json, as_text = folder / "results.json", folder / "report.md"
    as_json.write_text(json.dumps(results.as_json(), indent=2, allow_nan=False) + "\n")
    as_text.write_text(markdown(results, [plot.name for plot in plots]), encoding="utf-8")
    return [as_json, as_text, *plots]


def markdown(results: Results, plots: Sequence[str] = ()) -> str:
    """Returns the report."""
    lines = [f"# {results.title}", "", *_setting(results), ""]
    lines += ["## Coverage and risk", "", *_alphas(results), ""]
    lines += ["## Confidence", "", *_quality(results), ""]
    if results.choices is not None:
        lines += ["## Multiple choice", "", *_choices(results.choices), ""]
    if results.ablation is not None:
        lines += ["## What each feature is worth", "", *_ablation(results), ""]
    lines += ["## The contenders", ""]
    lines += [f"- `{one.name}`: {one.described}" for one in results.everyone if one.described]
    if results.not_computed:
        lines += ["", "## Not computed", ""]
        lines += [f"- {name}: {why}" for name, why in results.not_computed.items()]
    lines += ["", *(f"![{name}]({name})" for name in plots)]
    return "\n".join(lines).rstrip() + "\n"


def _setting(results: Results) -> Iterator[str]:
    yield (
        f"{results.spans:,} spans in memory, {results.questions:,} labelled questions "
        f"({results.in_scope:,} in scope). {results.resplits} random splits: "
        f"{results.calibration:,} questions choose the threshold, "
        f"{results.questions - results.calibration:,} are evaluated. Seed {results.seed}, "
        f"delta = {results.delta:.0%}, embedder {results.embedder}."
    )
    yield ""
    yield FLATTERY + (" This suite is one of them." if results.flattered else "")
    for note in results.notes:
        yield ""
        yield f"Note: {note}."


def _alphas(results: Results) -> Iterator[str]:
    yield (
        "Means over the splits, with the central 95 % of the splits. A violation is a split "
        "whose measured risk is above alpha: `high_probability` allows a share delta of draws, "
        "`expectation` speaks of the mean alone. The oracle ranks every right answer of the same "
        "contender above every wrong one."
    )
    yield ""
    yield (
        "The measured risk has noise of its own. A violation is by noise where what the split "
        "serves is wrong in at most alpha of the cases over all questions, those that calibrate "
        "and those that are evaluated: the bound held for the pool, and the draw put the errors "
        "into the evaluated part. Noise allows: how many violations a bound that is kept exactly "
        "would show in the worst pool, P(Hypergeometric(n + m, b + c + 1, n) <= b) a split, for "
        "n answers served in calibration, m in evaluation, b the most errors that pass, and c the "
        "whole part of alpha m."
    )
    yield ""
    yield (
        "| contender | kind | alpha | coverage | of oracle | risk | violations | by noise "
        "| noise allows |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for one in results.everyone:
        for row in one.alphas:
            yield f"| {one.name} | {row.kind} | {row.alpha:.0%} | {_alpha_cells(row)} |"
    for sentence in [*beyond_delta(results), *other_promises(results)]:
        yield ""
        yield sentence


def beyond_delta(results: Results) -> Iterator[str]:
    """Yields a sentence on each alpha at which more than delta of the splits violate ours."""
    for row in results.own.alphas:
        allowed = row.violations_noise_allows
        if allowed is None or (row.violations or 0) <= results.delta * row.resplits:
            continue
        yield (
            f"At alpha = {row.alpha:.0%} {row.violations} of {row.resplits} splits measure a risk "
            f"above alpha: {row.violations_by_noise} of them by the noise of measuring, which "
            f"allows about {allowed:.0f} where the bound is kept exactly."
        )


def other_promises(results: Results) -> Iterator[str]:
    """Yields a sentence on each contender that promises something else, or nothing."""
    for one in results.everyone:
        if one.fixed is not None:
            yield (
                f"{one.name} with a fixed cosine threshold of {one.fixed.threshold}, which nobody "
                f"calibrated: coverage {one.fixed.coverage:.1%}, risk {percent(one.fixed.risk, 2)}"
                f"{_falsely(one.fixed.contrast_false_accept)}."
            )
        rates = [
            f"{percent(row.error_rate, 2)} at {row.alpha:.0%}"
            for row in one.alphas
            if row.kind == OWN_RULE
        ]
        if rates:
            yield f"{one.name}'s own rule, errors among all requests: {', '.join(rates)}."


def _falsely(rate: float | None) -> str:
    return "" if rate is None else f", {rate:.2%} of the contrast questions answered falsely"


def _alpha_cells(row: AlphaFigures) -> str:
    if row.coverage is None:
        return "not computed | | | | | "
    return (
        f"{percent(row.coverage)}{_spread(row.coverage_interval)} | {of_oracle(row)} | "
        f"{percent(row.risk, 2)}{_spread(row.risk_interval, 2)} | "
        f"{row.violations} of {row.resplits} | {_noise_cells(row)}"
    )


def _noise_cells(row: AlphaFigures) -> str:
    by_noise, allowed = row.violations_by_noise, row.violations_noise_allows
    cells = "-" if by_noise is None else f"{by_noise}", "-" if allowed is None else f"{allowed:.0f}"
    return " | ".join(cells)


def of_oracle(row: AlphaFigures) -> str:
    """Returns the coverage as a share of the oracle's."""
    if row.coverage is None or not row.oracle:
        return ""
    return f"{row.coverage / row.oracle:.0%} of {row.oracle:.1%}"


def _quality(results: Results) -> Iterator[str]:
    contrast = ""
    if results.contrast_pairs:
        contrast = (
            f" Contrast: of {results.contrast_pairs:,} generated questions that one change of a "
            "span's question made, the share served with that span's outcome at alpha = 2 %."
        )
    yield f"95 % bootstrap intervals over the questions. ECE over 15 bins of equal mass.{contrast}"
    yield ""
    yield "| contender | right outcomes | ECE | Brier | AUROC | out-of-scope AUROC | contrast |"
    yield "|---|---|---|---|---|---|---|"
    for one in results.everyone:
        yield f"| {one.name} | {' | '.join(quality_cells(one))} |"
    before = before_labels(results.own)
    if before:
        yield ""
        yield before


def before_labels(one: ContenderResults) -> str:
    """Returns a sentence on the confidence before labels calibrated it; empty where none did."""
    ece, brier = one.quality.unlabelled_ece, one.quality.unlabelled_brier
    if ece is None or brier is None:
        return ""
    return (
        f"{one.name} before any label, as just published: ECE {ece:.3f}, Brier {brier:.3f}. "
        "Labels bend its confidence and change no order."
    )


def quality_cells(one: ContenderResults, *, intervals: bool = True) -> list[str]:
    """Returns the figures of a contender's confidence as text."""
    quality = one.quality
    measured = (quality.ece, quality.brier, quality.auroc, quality.oos_auroc)
    contrast = one.contrast_false_accept
    return [
        f"{quality.accuracy:.1%}",
        *(_measured(figure, intervals=intervals) for figure in measured),
        "-" if contrast is None else f"{contrast:.2%}",
    ]


def _measured(figure: Measured, *, intervals: bool) -> str:
    if figure.value is None:
        return "-"
    if figure.interval is None or not intervals:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} ({figure.interval[0]:.3f} to {figure.interval[1]:.3f})"


def _choices(choices: ChoiceResults) -> Iterator[str]:
    yield f"**{choices.verdict}. Tier, by the founding document's own thresholds: {choices.tier}.**"
    yield ""
    yield "| memory | spans | MC1 | by guessing | MC2 | by guessing |"
    yield "|---|---|---|---|---|---|"
    for kind in [*choices.variants, choices.no_memory]:
        rates = f"{_rate(kind.mc1, kind)} | {_rate(kind.mc2, kind)}"
        yield f"| {kind.name} | {kind.spans:,} | {rates} |"
    yield ""
    yield "Published, for comparison:"
    yield ""
    for row in choices.task.published:
        yield f"- {row.system}, {row.figure}: {row.percent:g} % ({row.source})"
    for variant in choices.variants:
        if variant.categories:
            yield ""
            yield f"By category, {variant.name}:"
            yield ""
            yield "| category | questions | MC1 | MC2 |"
            yield "|---|---|---|---|"
            for one in variant.categories:
                yield f"| {one.name} | {one.questions} | {one.mc1:.1%} | {percent(one.mc2)} |"


def _rate(rate: Rate | None, of: VariantResults) -> str:
    if rate is None:
        return f"{of.why_not or 'not computed'} | "
    return f"{rate.value:.1%}{_spread(rate.interval)} | {rate.chance:.1%}"


def _ablation(results: Results) -> Iterator[str]:
    yield (
        "The drop when the values of one feature are shuffled among the questions and the model "
        "stays: an upper estimate, as no other feature can take over."
    )
    yield ""
    yield "| feature | AUROC | coverage at alpha 5 % |"
    yield "|---|---|---|"
    for one in (results.ablation or [])[:_FEATURES_SHOWN]:
        auroc = "" if one.auroc_drop is None else f"{one.auroc_drop:+.4f}"
        yield f"| {one.feature} | {auroc} | {percent(one.coverage_drop)} |"


def percent(value: float | None, digits: int = 1) -> str:
    """Returns a share as text; None is a dash."""
    return "-" if value is None else f"{value:.{digits}%}"


def _spread(interval: Interval | None, digits: int = 1) -> str:
    if interval is None:
        return ""
    return f" ({interval[0]:.{digits}%} to {interval[1]:.{digits}%})"
