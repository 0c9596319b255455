"""From pieces of text to lines, and lines in bounded memory."""

import pytest

from tune_flows.worker.output.head_tail_buffer import HeadTailBuffer
from tune_flows.worker.output.line import Line
from tune_flows.worker.output.text import MAX_CHARS, Assembler


def lines_of(*pieces: str) -> list[str]:
    assembler = Assembler()
    return [line for piece in pieces for line in assembler.feed(piece)] + assembler.end()


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        (["a\nb\n"], ["a", "b"]),
        (["a", "b", "\n"], ["ab"]),
        (["no end"], ["no end"]),
        (["\n  \n\na\n"], ["a"]),
        (["a\r\nb\r", "\nc"], ["a", "b", "c"]),
        (["  indented  \n"], ["  indented"]),
        (["\r 10%", "\r 20%", "\r100%", "\n"], ["100%"]),
        (["\r 10%\r 20%", "\r     \r", "done\n"], ["done"]),
        (["\x1b[31mred\x1b[0m \x1b]0;title\x07text\x1b[A\n"], ["red text"]),
        (["a\tb\n"], ["a\tb"]),
        (["nul\x00 bell\x07 c1\x9b\n"], ["nul\ufffd bell\ufffd c1\ufffd"]),
        (["half a pair \ud800\n"], ["half a pair \ufffd"]),
        (["Grüße, 世界 🎉\n"], ["Grüße, 世界 🎉"]),
    ],
)
def test_lines(pieces: list[str], lines: list[str]):
    assert lines_of(*pieces) == lines


def test_a_long_line_is_cut_with_a_note():
    assert lines_of("x" * MAX_CHARS + "\n") == ["x" * MAX_CHARS]
    assert lines_of("x" * (MAX_CHARS + 1234) + "\nb\n") == ["x" * MAX_CHARS + " [1,234 characters cut]", "b"]


def test_an_endless_line_takes_no_memory():
    assembler = Assembler()
    for _ in range(1000):
        assembler.feed("x" * 1000)
    assert len(vars(assembler)["_line"]) == MAX_CHARS
    assert assembler.end() == ["x" * MAX_CHARS + " [996,000 characters cut]"]


def line(text: str, left_out: int = 0) -> Line:
    return Line("trial", 0.0, 20, "stdout", text, left_out)


def test_a_tape_keeps_the_first_and_the_newest_lines_and_counts_the_others():
    lines = HeadTailBuffer(most_lines=2)
    for number in range(10):
        lines.add(line(str(number)))
    assert [one.text or one.left_out for one in lines.take()] == ["0", "1", 6, "8", "9"]
    assert not lines
    lines.add(line("again"))
    assert lines.take() == (line("again"),)


def test_a_tape_is_bounded_by_characters_too():
    lines = HeadTailBuffer(most_chars=1000)
    for _ in range(50):
        lines.add(line("x" * 300))
    assert [len(one.text) or one.left_out for one in lines.take()] == [300, 300, 300, 44, 300, 300, 300]


def test_what_was_left_out_before_is_counted_as_well():
    lines = HeadTailBuffer(most_lines=1)
    for one in (line("first"), line("", left_out=40), line("last")):
        lines.add(one)
    assert [one.text or one.left_out for one in lines.take()] == ["first", 40, "last"]
