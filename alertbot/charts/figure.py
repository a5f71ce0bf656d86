"""Draws one chart with matplotlib: JSON of `png.drawing` on stdin, a PNG on stdout. Run as a process by `png.py`.

The only file that imports matplotlib. Fonts are those that matplotlib brings along, so the picture is the same on every
machine; names are plain text (no `$math$`), and no locale is read.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import os
import sys
import warnings
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from alertbot.charts.text import shown
from alertbot.charts.ticks import span_of_zero, time_ticks, value_ticks
from alertbot.rules.catalogue import ValueType
from alertbot.rules.plain import one_line

_SIZE, _DPI = (7.0, 4.2), 160  # inches: 1120 by 672 pixels, with letters that can be read on a phone
_LINE, _GRID, _INK = "#1264a3", "#e4e4e4", "#1d1c1d"
_LEVELS = {"critical": "#c9184a", "warning": "#c26a00", "info": "#3a6ea5"}
_MAX_TITLE = 50


def picture(wanted: dict[str, Any]) -> bytes:
    """The PNG of one drawing."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update(
        {
            "font.family": ["DejaVu Sans"],  # comes with matplotlib
            "font.size": 11,
            "text.parse_math": False,  # a queue called "$$$" is no formula
            "text.usetex": False,
            "axes.formatter.use_locale": False,
            "figure.facecolor": "white",
            "axes.facecolor": "white",
            "savefig.facecolor": "white",
        }
    )
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    kind, zone = ValueType(wanted["type"]), ZoneInfo(wanted["zone"])
    values = [math.nan if value is None else float(value) for _, value in wanted["points"]]
    times = [float(at) for at, _ in wanted["points"]]
    begin, end = float(wanted["begin"]), float(wanted["end"])
    end = end if end > begin else begin + 1.0
    for span in wanted["spans"]:
        colour = _LEVELS[span["level"]]
        axes.axvspan(span["begin"], max(span["end"], span["begin"] + (end - begin) / 300), color=colour, alpha=0.15)
    # A marker as well: a value between two gaps has no line.
    lonely = "o" if len(times) < 200 else ""
    axes.plot(times, values, color=_LINE, linewidth=1.8, marker=lonely, markersize=2.5, solid_joinstyle="round")
    for limit in wanted["limits"]:
        colour = _LEVELS[limit["level"]]
        axes.axhline(limit["value"], color=colour, linewidth=1.3, linestyle="--")
        label = f"{limit['level']} {limit['words']} {shown(limit['value'], kind)}"
        axes.annotate(
            label, (0.0, limit["value"]), (4, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
            color=colour, fontsize=9,
        )  # fmt: skip
    limits = [float(limit["value"]) for limit in wanted["limits"]]
    known = [value for value in (*values, *limits) if not math.isnan(value)]
    low, high = min([0.0, *known]), max([0.0, *known])
    high = high if high > low else low + span_of_zero(kind)
    ticks = value_ticks(low, high, kind)
    axes.set_ylim(low if low < 0 else 0.0, max(high * 1.08, ticks[-1]))
    axes.set_yticks(ticks, [shown(tick, kind) for tick in ticks])
    axes.set_xlim(begin, end)
    moments = time_ticks(begin, end, zone)
    axes.set_xticks([at for at, _ in moments], [text for _, text in moments])
    axes.set_xlabel(f"{datetime.fromtimestamp(end, UTC).astimezone(zone):%Z}", color=_INK)
    axes.set_title(_short(wanted["title"]), loc="left", fontsize=12, fontweight="bold", color=_INK)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if not any(not math.isnan(value) for value in values):
        axes.text(0.5, 0.5, "no values were recorded", transform=axes.transAxes, ha="center", color=_INK)
    target = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a letter that no font has is drawn as a box
        figure.savefig(target, format="png", metadata={"Description": wanted["about"], "Software": "alertbot"})
    return target.getvalue()


def _short(title: str) -> str:
    text = one_line(title)
    return text if len(text) <= _MAX_TITLE else text[: _MAX_TITLE - 1] + "…"


def main() -> None:
    """Read a drawing, write its picture."""
    warnings.simplefilter("ignore")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with contextlib.suppress(OSError, AttributeError):
        os.nice(10)  # polls come first
    wanted = json.load(sys.stdin.buffer)
    sys.stdout.buffer.write(picture(wanted))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
