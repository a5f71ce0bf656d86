"""`metrics`: the metric keys in words, for people and for machines."""

from __future__ import annotations

import json

import pytest

from tests.cli.test_cli import ran

CASES = {
    "words": (["metrics", "longest", "wait"], 0, "interactionsLongestWaitInQueue.PERIOD"),
    "words in one text": (
        ["metrics", "longest wait"],
        0,
        "queue, queue_totals · duration (write 90s or 2m) · rt",
    ),
    "a whole key": (["metrics", "abandonedPercentage.int-30m"], 0, "abandon rate: abandoned / entered"),
    "a scope": (["metrics", "status", "--scope", "agent"], 0, "status.rt"),
    "a totals scope": (["metrics", "waiting", "--scope", "queue_totals"], 0, "total.interactionsWaitInQueue.rt"),
    "nothing found": (["metrics", "zebra"], 1, "no metric key with 'zebra'"),
    "one word is missing": (["metrics", "longest", "zebra"], 1, "no metric key with 'longest' and 'zebra'"),
    "nothing in that scope": (["metrics", "abandoned", "--scope", "agent"], 1, "with 'abandoned' in agent"),
    "no such scope": (["metrics", "--scope", "quee"], 2, "did you mean queue?"),
    "nothing like a scope": (["metrics", "--scope", "x"], 2, "write queue, group, agent, "),
}


@pytest.mark.parametrize(("args", "code", "said"), CASES.values(), ids=CASES)
def test_metrics(args: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is found, and the exit status; neither alertbot.yaml nor a database is needed."""
    assert ran(*args) == code
    shown = capsys.readouterr()
    assert said in (shown.err if code else shown.out)


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Every fact about an entry; an empty list where nothing is found."""
    assert ran("metrics", "longest", "wait", "--scope", "queue", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "key": "interactionsLongestWaitInQueue.PERIOD",
            "keys": [f"interactionsLongestWaitInQueue.{period}" for period in ("rt", "int-15m", "int-30m", "today")],
            "scopes": ["queue"],
            "periods": ["rt", "int-15m", "int-30m", "today"],
            "type": "duration",
            "unit": "ms",
            "noun": "longest wait",
            "worse": "high",
            "meaning": "Longest single wait in the queue",
        }
    ]
    assert ran("metrics", "zebra", "--json") == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("[]\n", "")


def test_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a word, the whole catalogue; the notes say how the keys are written."""
    assert ran("metrics") == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-2:] == [
        "PERIOD stands for one of the periods: entered.int-30m, entered.today.",
        "In the scopes queue_totals and agent_totals, total. stands before the key.",
    ]
