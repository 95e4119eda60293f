"""A data set of one's own: a CSV file of questions and their labels.

Columns `text` and `label`, in any order, more are ignored; the label `oos` (in any case) marks a
question that memory must not answer. With a column `split`, rows of `train` are what memory
knows, and rows of `test`, `val` or `dev` are asked; out-of-scope rows of `train` are left out, as
memory cannot hold them. Without it, 70 % of the rows of each label are known and 30 % are asked,
drawn from the seed; a label of one row is only known. All out-of-scope rows are asked.

Rows without text or label are left out, and so is a row that repeats the text and label of an
earlier one; both are counted in the notes. The same text with two labels stays: such labels are
part of real data.
"""

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from arenalab.local.evaluation.task import Known, Question, Round, Task
from arenalab.mesh import InvalidInputError
from arenalab.predictor.neighbourhood import outcome_key
from arenalab.search.embedder.normalise import normalise
from arenalab.search.embedder.protocol import EmptyTextError

OUT_OF_SCOPE: Final = "oos"
KNOWN_SHARE: Final = 0.7
_KNOWN_SPLIT: Final = "train"
_ASKED_SPLITS: Final = frozenset({"test", "val", "dev"})


@dataclass(frozen=True, slots=True)
class _Row:
    text: str
    label: str
    split: str

    @property
    def is_out_of_scope(self) -> bool:
        return outcome_key(self.label) == OUT_OF_SCOPE


def load_csv(file: Path, name: str, seed: int) -> Task:
    """Returns the task of a CSV file.

    Raises:
        InvalidInputError: It is not UTF-8, lacks a column, has no rows or an unknown split, or
            nothing is in scope, nothing to be asked, or there is one label and nothing out of
            scope.
        OSError: It cannot be read.
    """
    rows, notes = _read(file)
    in_scope = [row for row in rows if not row.is_out_of_scope]
    outside = [row for row in rows if row.is_out_of_scope]
    if not in_scope:
        raise _refused(file, f"every row has the label {OUT_OF_SCOPE!r}: memory would be empty")
    if rows[0].split:
        known = [row for row in in_scope if row.split == _KNOWN_SPLIT]
        asked = [row for row in rows if row.split != _KNOWN_SPLIT]
    else:
        known, asked = _drawn(in_scope, seed)
        asked += outside
        notes.append(f"split drawn from seed {seed}: {KNOWN_SHARE:.0%} of each label are known")
    _check(file, known, asked)
    one = Round(
        [Known(row.text, row.label) for row in known],
        [
            Question(
                row.text,
                frozenset() if row.is_out_of_scope else frozenset({outcome_key(row.label)}),
            )
            for row in asked
        ],
    )
    return Task(name, file.name, [one], tuple(notes))


def _read(file: Path) -> tuple[list[_Row], list[str]]:
    if file.is_dir():
        raise _refused(file, "is a folder; --format reads one file")
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            columns = reader.fieldnames or []
            missing = [name for name in ("text", "label") if name not in columns]
            if missing:
                raise _refused(
                    file,
                    f"must have the columns text and label, and lacks {' and '.join(missing)}; "
                    f"it has {', '.join(columns) or 'none'}",
                )
            read = [_row(file, reader.line_num, entry) for entry in reader]
    except UnicodeDecodeError as error:
        raise _refused(file, f"is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except csv.Error as error:
        raise _refused(file, f"is not CSV: {error}") from error
    filled = [row for row in read if row is not None]
    rows = list(dict.fromkeys(filled))
    if not rows:
        raise _refused(file, "has no row with a text and a label")
    notes = []
    if len(read) > len(filled):
        notes.append(f"{len(read) - len(filled)} rows without text or label were left out")
    if len(filled) > len(rows):
        notes.append(f"{len(filled) - len(rows)} rows that repeat an earlier one were left out")
    return rows, notes


def _row(file: Path, line: int, entry: Mapping[str, str | None]) -> _Row | None:
    text, label = (entry["text"] or "").strip(), (entry["label"] or "").strip()
    split = (entry.get("split") or "").strip().casefold()
    if not label or not _is_visible(text):
        return None
    if "split" in entry and split not in {_KNOWN_SPLIT, *_ASKED_SPLITS}:
        allowed = ", ".join([_KNOWN_SPLIT, *sorted(_ASKED_SPLITS)])
        raise _refused(file, f"line {line}: split must be one of {allowed}, got {split!r}")
    return _Row(text, label, split)


def _is_visible(text: str) -> bool:
    try:
        normalise(text)
    except EmptyTextError:
        return False
    return True


def _drawn(rows: list[_Row], seed: int) -> tuple[list[_Row], list[_Row]]:
    by_label = defaultdict(list)
    for at, row in enumerate(rows):
        by_label[outcome_key(row.label)].append(at)
    rng = np.random.default_rng([seed, 8])
    known: set[int] = set()
    for label in sorted(by_label):
        of_label = rng.permutation(by_label[label]).tolist()
        asked = round(len(of_label) * (1.0 - KNOWN_SHARE))
        known.update(of_label[: len(of_label) - (max(1, asked) if len(of_label) > 1 else 0)])
    return (
        [row for at, row in enumerate(rows) if at in known],
        [row for at, row in enumerate(rows) if at not in known],
    )


def _check(file: Path, known: list[_Row], asked: list[_Row]) -> None:
    if not known:
        raise _refused(file, "no row in scope has the split train: memory would be empty")
    if not asked:
        raise _refused(file, "no row is left to be asked")
    labels = {outcome_key(row.label) for row in known}
    if len(labels) == 1 and all(outcome_key(row.label) in labels for row in asked):
        raise _refused(
            file, f"has the one label {known[0].label!r} and nothing out of scope: nothing can fail"
        )


def _refused(file: Path, rule: str) -> InvalidInputError:
    return InvalidInputError(f"{file}: {rule}", field="data")
