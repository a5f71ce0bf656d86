"""Pictures: drawn by a process of its own, within a deadline, whatever names and values there are."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from PIL import Image

from alertbot.charts import figure
from alertbot.charts.png import MAX_POINTS, NOT_INSTALLED, Painter, drawing
from alertbot.charts.series import Limit, Series, Span
from alertbot.charts.text import described
from alertbot.errors import ChartFailed
from alertbot.rules.catalogue import ValueType
from alertbot.rules.rule import Level
from tests.charts.test_series import at, series
from tests.charts.test_text import RUSH

HELSINKI = ZoneInfo("Europe/Helsinki")
WHITE, LINE = (255, 255, 255), (0x12, 0x64, 0xA3)


@pytest.fixture(scope="module")
def painter() -> Iterator[Painter]:
    made = Painter(deadline=60.0)
    yield made
    made.close()


def colours(png: bytes) -> tuple[tuple[int, int], dict[tuple[int, ...], int]]:
    """The size, and how often each colour is there."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    counted = image.getcolors(maxcolors=1 << 20)
    assert counted is not None
    return image.size, {colour: number for number, colour in counted}  # type: ignore[misc]


def test_a_picture(painter: Painter) -> None:
    """Light background, the values as a line, limits in their colours, a shaded span, and what it shows as its text."""
    png = painter.draw(RUSH, HELSINKI)
    size, found = colours(png)
    assert size == (1120, 672)
    assert max(found, key=lambda colour: found[colour]) == WHITE
    assert found[LINE] > 500
    assert found[0xC2, 0x6A, 0x00] > 200  # warning
    assert found[0xC9, 0x18, 0x4A] > 200  # critical
    shade = tuple(round(255 - 0.15 * (255 - part)) for part in (0xC9, 0x18, 0x4A))
    shaded = sum(
        number for colour, number in found.items() if all(abs(a - b) < 3 for a, b in zip(colour, shade, strict=True))
    )
    assert shaded > 20_000
    assert Image.open(io.BytesIO(png)).info["Description"] == described(RUSH, HELSINKI)


HOSTILE = {
    "formulas and markup": replace(RUSH, name=r"$\frac{1}{0}$ <b>&amp; \n %s {x}"),
    "other scripts": replace(RUSH, name="東京 Ана العربية 🙂 e\u0301"),
    "control characters": replace(RUSH, name="a\x00b\nc\x1b[31m\u202ed"),
    "a lone surrogate": replace(RUSH, name="a\ud800b"),
    "a very long name": replace(RUSH, name="x" * 5_000),
    "an empty name": replace(RUSH, name=""),
    "no values": series(None, None),
    "one value": series(5_000.0),
    "all zero": series(0.0, 0.0),
    "tiny": series(1e-9, 2e-9, type=ValueType.NUMBER),
    "huge": series(1e300, 1e301, type=ValueType.NUMBER),
    "huge durations": series(1e13, 2e13),
    "below zero": series(-5.0, 5.0, type=ValueType.NUMBER),
    "a limit far away": replace(series(1.0, 2.0), limits=(Limit(1e9, Level.INFO, "r"),)),
    "of no length": replace(series(1.0), begin=at(0), end=at(0)),
    "a span of a moment": replace(RUSH, spans=(Span(at(-5), at(-5), Level.INFO, "r"),)),
    "ratios": series(0.5, 1.0, type=ValueType.RATIO),
}


@pytest.mark.parametrize("what", HOSTILE.values(), ids=HOSTILE)
def test_anything_can_be_drawn(what: Series) -> None:
    """In this process, which is quicker: what `main` does with what it is given."""
    wanted = json.loads(json.dumps(drawing(what, HELSINKI)))
    assert colours(figure.picture(wanted))[0] == (1120, 672)


def test_a_name_is_not_read_as_a_formula() -> None:
    """`$x$` is drawn with its dollars: with mathematics it would be narrower."""
    plain = figure.picture(drawing(replace(RUSH, name="$xxxxxxxx$"), HELSINKI))
    without = figure.picture(drawing(replace(RUSH, name="xxxxxxxx"), HELSINKI))
    ink = [sum(n for colour, n in colours(png)[1].items() if max(colour) < 60) for png in (plain, without)]
    assert ink[0] > ink[1] + 50


def test_the_process_knows_nothing_of_the_bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret of the environment, no folder of the bot, no terminal; its own folder is gone afterwards."""
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-secret")
    monkeypatch.chdir(tmp_path)
    seen = tmp_path / "seen.json"
    code = f"import os, json; json.dump([dict(os.environ), os.getcwd()], open({str(seen)!r}, 'w'))"
    spy = Painter(command=(sys.executable, "-c", code))
    with pytest.raises(ChartFailed, match="could not be drawn: no reason given"):
        spy.draw(RUSH, UTC)
    environment, folder = json.loads(seen.read_text())
    assert "xoxb-secret" not in json.dumps(environment)
    assert folder == environment["MPLCONFIGDIR"] != str(tmp_path)
    assert os.path.isdir(folder)
    spy.close()
    assert not os.path.isdir(folder)


FAILURES = {
    "too slow": ("import time; time.sleep(60)", "was not drawn within 0.5 s"),
    "an exception": ("raise ValueError('no font')", "could not be drawn: ValueError: no font"),
    "killed": ("import os; os.kill(os.getpid(), 9)", "could not be drawn: no reason given"),
    "no picture": ("print('hello')", "could not be drawn: no reason given"),
    "nothing": ("pass", "could not be drawn"),
}


@pytest.mark.parametrize(("code", "says"), FAILURES.values(), ids=FAILURES)
def test_what_fails_is_one_sentence(code: str, says: str) -> None:
    """Within the deadline, and the next picture can be drawn."""
    deadline = 0.5 if "sleep" in code else 30.0
    broken = Painter(deadline=deadline, command=(sys.executable, "-c", code))
    for _ in range(2):
        with pytest.raises(ChartFailed, match=says):
            broken.draw(RUSH, UTC)
    broken.close()


def test_no_process_can_be_started() -> None:
    missing = Painter(command=("/nowhere/python",))
    with pytest.raises(ChartFailed, match="could not be started: No such file"):
        missing.draw(RUSH, UTC)
    missing.close()


def test_closing_ends_a_picture_in_progress(tmp_path: Path) -> None:
    """Long before its deadline; after that none is drawn."""
    begun = tmp_path / "begun"
    code = f"import time; open({str(begun)!r}, 'w').close(); time.sleep(60)"
    slow = Painter(deadline=60.0, command=(sys.executable, "-c", code))
    failed: list[BaseException] = []

    def draw() -> None:
        try:
            slow.draw(RUSH, UTC)
        except ChartFailed as error:
            failed.append(error)

    thread = threading.Thread(target=draw)
    thread.start()
    pause = threading.Event()
    while not begun.exists():
        pause.wait(0.01)
    slow.close()
    thread.join(10)
    assert not thread.is_alive()
    assert [str(error) for error in failed] == ["alertbot is stopping"]
    with pytest.raises(ChartFailed, match="alertbot is stopping"):
        slow.draw(RUSH, UTC)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence that says what to install; no process is started."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "matplotlib" else real(name, *more)
    )
    painter = Painter(command=("/nowhere/python",))
    with pytest.raises(ChartFailed, match=r"pip install 'alertbot\[charts\]'"):
        painter.draw(RUSH, UTC)
    assert painter.problem == NOT_INSTALLED


def test_matplotlib_is_imported_only_to_draw() -> None:
    """Not by the command line, nor by what the bot runs."""
    code = (
        "import sys, alertbot.cli, alertbot.service.app, alertbot.charts.png; "
        "sys.exit('matplotlib' in sys.modules or 'alertbot.charts.figure' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_many_samples_are_drawn_as_the_worst_of_each_interval() -> None:
    """A picture is a thousand pixels wide: a peak of one poll in 46,000 is still in it, and so is a gap."""
    values: list[float | None] = [1.0] * 20_000
    values[12_345] = 99.0
    values[3_000:4_000] = [None] * 1_000
    points = drawing(series(*values), UTC)["points"]
    assert len(points) == MAX_POINTS
    assert max(value for _, value in points if value is not None) == 99.0
    assert sum(value is None for _, value in points) == 50
    assert len(drawing(series(1.0, None, 2.0), UTC)["points"]) == 3


def test_a_locale_changes_nothing(painter: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the decimal point nor the names of months: the same picture."""
    first = painter.draw(RUSH, HELSINKI)
    for name in ("LANG", "LC_ALL"):
        monkeypatch.setenv(name, "de_DE.UTF-8")
    assert painter.draw(RUSH, HELSINKI) == first
