"""Tables in documents are those of the files that commands write."""

import pytest

from lib_stability.testbed.evidence import pasting

FILE = """Some text.

| a    | b |
|------|---|
| 1.00 | x |

and another

| c |
|---|
| 2 |
"""


def test_marks_hold_what_the_file_says(tmp_path):
    (tmp_path / "one.md").write_text(FILE)
    text = "Before\n\n<!-- one.md -->\nold\n<!-- end -->\n\nbetween\n<!-- one.md 2 -->\n| old |\n<!-- end -->\nafter\n"
    made = pasting.pasted(text, tmp_path)
    assert "| a | b |\n|---|---|\n| 1.00 | x |\n\n| c |\n|---|\n| 2 |\n<!-- end -->\n\nbetween" in made
    assert made.endswith("<!-- one.md 2 -->\n| c |\n|---|\n| 2 |\n<!-- end -->\nafter\n") and "old" not in made
    assert pasting.pasted(made, tmp_path) == made, "a second time changes nothing"


def test_what_is_not_there_is_an_error(tmp_path):
    (tmp_path / "one.md").write_text(FILE)
    with pytest.raises(ValueError, match=r"one\.md has 2 tables, not 3"):
        pasting.pasted("<!-- one.md 3 -->\n<!-- end -->", tmp_path)
    with pytest.raises(FileNotFoundError):
        pasting.pasted("<!-- two.md -->\n<!-- end -->", tmp_path)


def test_text_without_marks_stays(tmp_path):
    assert pasting.pasted("| a |\n|---|\n<!-- a remark -->\n", tmp_path) == "| a |\n|---|\n<!-- a remark -->\n"


def test_a_document_is_renewed_by_the_command(tmp_path, capsys):
    for name in pasting.DOCUMENTS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("<!-- one.md 2 -->\n<!-- end -->\n")
        ((tmp_path / name).parent / "one.md").write_text(FILE)
    pasting.main(tmp_path)
    pasting.main(tmp_path)
    assert (tmp_path / pasting.DOCUMENTS[0]).read_text() == "<!-- one.md 2 -->\n| c |\n|---|\n| 2 |\n<!-- end -->\n"
    assert capsys.readouterr().out.split("\n")[::2][0].endswith("renewed")
