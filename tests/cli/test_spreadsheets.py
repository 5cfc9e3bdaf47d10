"""CSV is read back as it was printed, and no spreadsheet runs what users wrote."""

import csv
import io

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from creditmeter.cli.output import FORMULA, print_cells

TEXTS = st.text(st.sampled_from("ab,;\"\r\n\t'=+-@\uff1d\uff0b\uff0d\uff20 \x85\u2028"), max_size=6)
PATIENT = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_back(text: str) -> list[list[str]]:
    """Rows as a program reads them."""
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


@PATIENT
@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=4))
@example([("line\r=cmd()", "x")])
@example([("=x", "'=x")])
@example([("\r", "\r\n")])
def test_every_text_is_one_cell_and_can_be_told(capsys: pytest.CaptureFixture[str], texts: list[tuple[str, str]]) -> None:
    """Rows stay rows, none begins with a formula, and what was written is there when one leading apostrophe is taken off."""
    capsys.readouterr()
    print_cells(["a", "b"], texts)
    head, *found = read_back(capsys.readouterr().out)
    assert head == ["a", "b"]
    assert [tuple(cell.removeprefix("'") for cell in row) for row in found] == texts
    assert not [cell for row in found for cell in row if cell.startswith(tuple(sign for sign in FORMULA if sign != "'"))]


def test_a_text_and_its_quoted_form_are_two_cells(capsys: pytest.CaptureFixture[str]) -> None:
    """`=x` and `'=x` are two labels."""
    print_cells(["a"], [["=x"], ["'=x"], ["x"], ["'"], [""], ["it's"], ["\uff1dx"]])
    assert read_back(capsys.readouterr().out)[1:] == [["'=x"], ["''=x"], ["x"], ["''"], [""], ["it's"], ["'\uff1dx"]]


def test_lines_end_in_a_newline_and_numbers_stay_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    """Only what needs quotes has them."""
    print_cells(["a", "b"], [[-5, "x\ry"], [True, 'a "b"'], [0, "x\n"]])
    assert capsys.readouterr().out == 'a,b\n-5,"x\ry"\nTrue,"a ""b"""\n0,"x\n"\n'
