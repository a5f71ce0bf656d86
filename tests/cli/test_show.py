"""How commands print untrusted names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from alertbot.alerts.alert import Change, Reason
from alertbot.cli.poll import _show_polled
from alertbot.cli.show import Output
from alertbot.cli.show_reply import show_reply
from alertbot.commands.command import Line, Reply, Table
from alertbot.evaluation.snapshot import Fetched
from alertbot.feed.health import Feed
from alertbot.poll import Memory, Turn
from tests.notify.cases import FIRING, NOW

EVIL = "\x1b]0;owned\x07\x1b[2Jred\x9b1m\nINJECTED\r\u2028x\u202eback\u2066in :fire: [bold]b[/bold]"
SHOWN = "]0;owned [2Jred 1m INJECTED x back in :fire: [bold]b[/bold]"


def test_names_in_an_answer_do_not_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines and cells: no control character, no second line, no turned direction, and the rest as it is."""
    show_reply(Reply((Line(f"  Queue {EVIL}", strong=True), Table(("Name", "Value"), ((f"Q {EVIL}", EVIL),)))))
    said = capsys.readouterr().out
    assert said.splitlines()[0] == f"  Queue  {SHOWN}"
    check(said)


def test_names_in_a_poll_do_not_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """What `poll` prints about an alert, a note and a problem, one line each."""
    alert = replace(FIRING, entity_name=EVIL)
    fetched = Fetched(NOW, problems=(EVIL,), notes=(EVIL,))
    change = Change(None, alert, Reason.FIRED, EVIL)
    polled = Turn("acme", NOW, fetched, {}, (change,), (), Feed("acme"), Memory())
    _show_polled("acme", polled)
    said = capsys.readouterr().out
    assert len(said.splitlines()) == 4
    assert said.count(SHOWN) == 4  # name and reason of the alert, note, problem
    check(said)


def check(said: str) -> None:
    assert [char for char in said if not char.isprintable() and char != "\n"] == []


@pytest.mark.parametrize(
    "text",
    ["plain", "  [bold]kept[/bold]  ", "x" * 300, "über :fire: …", "", "two\nlines", "a\ttab", "bell\x07"],
    ids=["plain", "brackets and spaces", "long", "no ASCII", "empty", "two lines", "a tab", "a control character"],
)
def test_lines_to_a_pipe_are_what_rich_writes(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With and without rich, which is not imported for text that it would write as it is."""
    rich = Console(highlight=False, emoji=False)
    rich.print(text, markup=False, soft_wrap=True, style="bold")
    expected = capsys.readouterr().out
    Output().print(text, markup=False, soft_wrap=True, style="bold")
    assert capsys.readouterr().out == expected


def test_a_terminal_gets_colours(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    Output().print("red", markup=False, soft_wrap=True, style="red")
    assert capsys.readouterr().out == "\x1b[31mred\x1b[0m\n"
