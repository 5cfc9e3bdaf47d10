"""The rule by which a table fits its terminal."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from creditmeter.cli.drawing import drawn
from creditmeter.cli.layout import BAR, LEAST_TEXT, LEAST_WORD, Bar, Cell, Column, Form, fit, shortened, wrapped
from creditmeter.cli.screen import Table, visible

WORDS = st.text(st.sampled_from("ab1-. _日本友é\u0301😀\u200d"), max_size=40)
COLUMNS = st.lists(st.builds(Column, WORDS, st.sampled_from(Form), st.integers(0, 9)), min_size=1, max_size=12)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Column], list[list[Cell]]]:
    """A table of any columns, with numbers where these belong."""
    columns = draw(COLUMNS)
    most = draw(st.integers(1, 10**9))
    cells: dict[Form, st.SearchStrategy[Cell]] = {
        Form.NUMBER: st.integers(-(10**12), 10**12).map("{:,}".format),
        Form.BAR: st.integers(-5, most).map(lambda amount: Bar(amount, most)),
    }
    rows = st.lists(st.tuples(*(cells.get(each.form, WORDS) for each in columns)).map(list), max_size=6)
    return columns, draw(rows)


@given(tables(), st.integers(2, 200))
def test_no_line_is_wider_than_the_terminal(table: tuple[list[Column], list[list[Cell]]], width: int) -> None:
    """Whatever is in it, as it is drawn; a wide character has two cells, so that it takes at least so many."""
    columns, rows = table
    layout = fit(columns, rows, width)
    assert layout.width <= width
    assert max(map(cell_len, drawn_lines(columns, rows, width))) <= width


@given(tables(), st.integers(1, 200))
def test_a_number_is_shown_whole_or_not_at_all(table: tuple[list[Column], list[list[Cell]]], width: int) -> None:
    """A part of an amount would be read as another amount; a table of a single column has no choice."""
    columns, rows = table
    layout = fit(columns, rows, width)
    numbers = {row[at] for row in rows for at, column in enumerate(columns) if column.form is Form.NUMBER}
    for row in layout.rows:
        for column, cell in zip(layout.columns, row, strict=True):
            if column.form is Form.NUMBER and len(layout.columns) > 1 and column is not layout.columns[0]:
                assert cell in numbers


@given(tables())
def test_where_there_is_room_all_is_shown(table: tuple[list[Column], list[list[Cell]]]) -> None:
    """And where there is no limit."""
    columns, rows = table
    for width in (None, 10_000):
        layout = fit(columns, rows, width)
        assert layout.left_out == ()
        assert not layout.is_shortened
        kept = [at for at, each in enumerate(columns) if width is None or not each.goes or any(row[at] for row in rows)]
        if rows:
            assert layout.rows == tuple(tuple(whole(row[at]) for at in kept) for row in rows)


def whole(cell: Cell) -> str:
    """What is shown of a cell where there is room."""
    return cell if isinstance(cell, str) else cell.drawn(BAR)


def drawn_lines(columns: list[Column], rows: list[list[Cell]], width: int) -> list[str]:
    """The lines of a table as they are printed."""
    made = Table(tuple(columns))
    for row in rows:
        made.add_row(*row)
    return drawn(fit(made.columns, made.rows, width), utf_8=True).split("\n")


COLUMNS_OF_LEASES = [
    Column("account", Form.ID),
    Column("sidecar", Form.ID),
    Column("out", Form.NUMBER),
    Column("opened", Form.TIME, goes=1),
    Column("note", Form.TEXT, goes=2),
]
ROW = ["customer-4711-berlin", "s0123456789ab", "1,234.5", "2026-11-24 12:00", "a note of some words that may be broken"]


def test_what_goes_in_which_order() -> None:
    """Text is broken, then columns go, then ids are shortened, then what is right goes, and what is first is cut."""
    shown = {width: fit(COLUMNS_OF_LEASES, [ROW], width) for width in (111, 88, 80, 60, 44, 30, 12)}
    assert [shown[111].left_out, shown[111].widths] == [(), (20, 13, 7, 16, 39)]
    assert [shown[88].left_out, shown[88].widths] == [(), (20, 13, 7, 16, LEAST_TEXT + 8)]
    assert [shown[80].left_out, shown[80].widths] == [(), (20, 13, 7, 16, LEAST_TEXT)]
    assert [shown[60].left_out, shown[60].widths[-1]] == [("opened", "note"), 7]
    assert [shown[44].left_out, shown[44].rows[0]] == [("opened", "note"), tuple(ROW[:3])]
    assert [shown[30].is_shortened, shown[30].rows[0]] == [True, ("custo…rlin", "s012…89ab", "1,234.5")]
    assert [shown[12].left_out, shown[12].rows[0]] == [("sidecar", "out", "opened", "note"), ("custom…erlin",)]


def test_a_column_of_nothing_is_left_out_without_a_word() -> None:
    """Where there is a limit, and only if it may go."""
    columns = [Column("a", Form.ID), Column("b"), Column("c", goes=1)]
    assert fit(columns, [["x", "", ""]], 80).heads == ("a", "b")
    assert fit(columns, [["x", "", ""]], 80).left_out == ()
    assert fit(columns, [["x", "", ""]], None).heads == ("a", "b", "c")
    assert fit(columns, [], 80).heads == ("a", "b", "c")


def test_ids_are_shortened_in_the_middle_and_words_at_the_end() -> None:
    """To the cell: a wide character that would be cut in half is left out."""
    assert shortened("s0123456789ab", LEAST_WORD) == "s012…89ab"
    assert shortened("directory_submission", LEAST_WORD, at_end=True) == "director…"
    assert shortened("日本日本日本", 8) == "日本…本"
    assert shortened("short", 5) == "short"
    assert [shortened("anything", cells) for cells in (1, 2, 3)] == ["…", "a…", "a…g"]


def test_lines_break_at_spaces() -> None:
    """What follows is indented; a word that is longer than a line is left whole, so that it can be copied."""
    assert wrapped("  Commit   It wrote 1,150 tokens", 20, hang=11) == [
        "  Commit   It wrote",
        "           1,150",
        "           tokens",
    ]
    assert wrapped(f"with --page-token {'x' * 30}", 20) == ["with --page-token", "x" * 30]
    assert wrapped("", 20) == [""]
    assert visible("\x1b[31m") == "\N{REPLACEMENT CHARACTER}[31m"
