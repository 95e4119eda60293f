from pathlib import Path

import pytest

from arenalab.local.evaluation.suites.csv_file import load_csv
from arenalab.mesh import InvalidInputError


def _file(folder: Path, text: str) -> Path:
    file = folder / "data.csv"
    file.write_text(text, encoding="utf-8")
    return file


TWENTY = "text,label\n" + "".join(f"question {n} of {n % 2},label {n % 2}\n" for n in range(20))


def test_rows_are_drawn_by_label_from_the_seed(tmp_path: Path) -> None:
    file = _file(tmp_path, TWENTY + "alone,single\nfar away, OOS \nfarther,oos\n")
    [one] = load_csv(file, "mine", 0).rounds
    assert len(one.known) == 15  # 7 of each 10, and the label that occurs once
    assert "alone" in {known.text for known in one.known}
    assert sum(not question.right for question in one.questions) == 2
    assert len(one.questions) == 8
    assert not {k.text for k in one.known} & {q.text for q in one.questions}
    assert load_csv(file, "mine", 0).rounds == [one]
    assert load_csv(file, "mine", 1).rounds != [one]


def test_a_split_column_decides(tmp_path: Path) -> None:
    text = (
        "split,label,text\ntrain,a,q1\nTRAIN,b,q2\ntest,A,q3\nval,oos,q4\ntrain,oos,q5\ndev,b,q6\n"
    )
    [one] = load_csv(_file(tmp_path, text), "mine", 0).rounds
    assert [known.text for known in one.known] == ["q1", "q2"]
    asked = [(question.text, set(question.right)) for question in one.questions]
    assert asked == [("q3", {"a"}), ("q4", set()), ("q6", {"b"})]


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    text = TWENTY + "question 3 of 1,label 1\n,label 1\nno label,\n\u200b,label 0\n"
    task = load_csv(_file(tmp_path, text), "mine", 0)
    assert "3 rows without text or label were left out" in task.notes
    assert "1 rows that repeat an earlier one were left out" in task.notes
    assert len(task.rounds[0].known) + len(task.rounds[0].questions) == 20


def test_a_text_with_two_labels_stays(tmp_path: Path) -> None:
    text = "text,label\n" + "same,a\nsame,b\n" + "other,a\nanother,b\n"
    [one] = load_csv(_file(tmp_path, text), "mine", 0).rounds
    assert len(one.known) + len(one.questions) == 4


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "lacks text and label; it has none"),
        ("question,label\nq,a\n", "lacks text; it has question, label"),
        ("text,label\n", "has no row with a text and a label"),
        ("text,label\n , \n", "has no row with a text and a label"),
        ("text,label\nq,oos\nr,OOS\n", "every row has the label 'oos'"),
        ("text,label\nq,a\nr,a\ns,a\n", "has the one label 'a' and nothing out of scope"),
        ("text,label\nq,a\nr,b\n", "no row is left to be asked"),
        ("text,label,split\nq,a,test\n", "no row in scope has the split train"),
        ("text,label,split\nq,a,train\nr,b,holdout\n", "line 3: split must be one of train, dev"),
        ("text,label,split\nq,a,train\nr,b,\n", "line 3: split must be one of"),
    ],
)
def test_a_file_that_says_nothing_is_refused(tmp_path: Path, text: str, rule: str) -> None:
    with pytest.raises(InvalidInputError, match=r"data\.csv") as refused:
        load_csv(_file(tmp_path, text), "mine", 0)
    assert rule in str(refused.value)


def test_one_label_will_do_where_something_is_out_of_scope(tmp_path: Path) -> None:
    text = "text,label\nq,a\nr,a\ns,a\nfar,oos\n"
    assert load_csv(_file(tmp_path, text), "mine", 0).questions == 2


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_bytes(b"text,label\n\xff\xfe,a\n")
    with pytest.raises(InvalidInputError, match="not UTF-8"):
        load_csv(file, "mine", 0)
    with pytest.raises(InvalidInputError, match="is a folder"):
        load_csv(tmp_path, "mine", 0)
    with pytest.raises(FileNotFoundError):
        load_csv(tmp_path / "nothing.csv", "mine", 0)
