"""Rule files edited while the bot runs: a good edit is live, a broken one is reported once, and alerts continue."""

from __future__ import annotations

import io
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from alertbot.alerts.alert import Alert, Reason, State
from alertbot.cli import main
from alertbot.cli.shell import signals
from alertbot.commands.command import Command
from alertbot.config.settings import Settings
from alertbot.errors import FaultsFound, StoreError
from alertbot.evaluation.snapshot import Column, Fetched, Presence, Snapshot
from alertbot.notify.console import ConsoleNotifier
from alertbot.rulefiles.on_disk import read_disk
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level
from alertbot.service.app import App
from alertbot.service.live_rules import QUIET, QUIET_IF_DOUBTFUL, LiveRules
from alertbot.service.of_settings import rule_paths
from alertbot.service.tenant import LiveTenant
from alertbot.service.watch import watch
from alertbot.store.sqlite.store import SqliteStore
from tests.simulator.kit import HandClock
from tests.sources.recorded import Recorded

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WAIT, WAITING = "interactionsLongestWaitInQueue.rt", "interactionsWaitInQueue.rt"
LONG_WAIT = """rules:
  - id: long-wait
    scope: queue
    warning: {when: interactionsLongestWaitInQueue.rt > 60s}
    critical: {when: interactionsLongestWaitInQueue.rt > 300s}
"""
MANY = "rules:\n  - id: many\n    scope: queue\n    when: interactionsWaitInQueue.rt > 90\n"
WITH_TEMPLATE = MANY + "    template: mine\n"
TEMPLATE = '{% extends "alert.j2" %}\n{% block title %}Mine{% endblock %}\n'
ENDLESS = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"
BROKEN = LONG_WAIT + "    scoop: 5\n"  # in line 6
BROKEN_MANY = MANY + "    scoop: 5\n"  # in line 5
CONFIG = """tenants:
  - {name: acme, region: us, api_key: k, api_secret: s}
slack: {bot_token: xoxb-1, default_channel: "#cc-alerts", ops_channel: "#ops"}
rules: rules/
"""


def polls() -> Recorded:
    """Two queues, the same at every poll: in one the longest wait is 130 s."""
    presence = np.full(2, Presence.PRESENT, dtype=np.uint8)
    columns = {WAIT: Column(np.array([130_000.0, 5_000.0]), presence), WAITING: Column(np.array([7.0, 1.0]), presence)}
    queues = Snapshot(Scope.QUEUE, T0, ("1", "2"), ("Sales", "Support"), columns)
    return Recorded([Fetched(at=T0, snapshots={Scope.QUEUE: queues})] * 50)


@dataclass
class World:
    """A bot with one tenant, whose clock and whose checks of the files are moved by hand."""

    folder: Path
    app: App
    clock: HandClock
    notifier: ConsoleNotifier
    screen: io.StringIO
    moment: float = 0.0

    def write(self, name: str, text: str) -> None:
        path = self.folder / "rules" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def remove(self, name: str) -> None:
        (self.folder / "rules" / name).unlink()

    def look(self, seconds: float = 0.5, *, at_once: bool = False) -> bool:
        self.moment += seconds
        self.clock.forward(seconds=seconds)
        return self.app.reloader.look(self.moment, at_once=at_once)

    def settle(self) -> None:
        """The five seconds in which an edit has to be live."""
        for _ in range(10):
            self.look()

    def poll(self) -> None:
        self.clock.forward(seconds=15)
        assert self.app.poller.tick(self.app.tenants[0]) is not None

    @property
    def ids(self) -> list[str]:
        return [rule.id for rule in self.app.tenants[0].rules.rules]

    @property
    def version(self) -> str:
        return self.app.tenants[0].rules.version

    @property
    def reports(self) -> list[str]:
        """What was posted in the ops channel."""
        entries = self.app.store.notices_of(None)  # type: ignore[attr-defined]
        assert {entry.notice.channel for entry in entries} <= {"#ops"}
        return [entry.notice.text for entry in entries]

    def open(self) -> dict[str, Alert]:
        return {f"{alert.key.rule} {alert.entity_name}": alert for alert in self.app.store.alerts("acme")}

    def ended(self) -> dict[str, Reason | None]:
        return {each.key.rule: each.end_reason for each in self.app.store.ended(T0)}  # type: ignore[attr-defined]

    def card_of(self, alert: Alert) -> str:
        """Deliver, and give back what the terminal shows of it."""
        before = len(self.screen.getvalue())
        self.app.courier.deliver_all(max_wait=0)
        shown = self.screen.getvalue()[before:]
        assert str(alert.id) in shown
        return shown


def make(folder: Path, clock: Callable[[], datetime], notifier: ConsoleNotifier) -> App:
    settings = Settings.model_validate(
        {
            "tenants": [{"name": "acme", "region": "us"}],
            "slack": {"default_channel": "#cc-alerts", "ops_channel": "#ops"},
            "folder": folder,
        }
    )
    live = LiveRules(rule_paths(settings))
    tenants = [LiveTenant("acme", polls(), live.rules("acme"), timedelta(seconds=15), "#cc-alerts", "#ops")]
    store = SqliteStore(folder / "alertbot.db", busy_timeout=0.1)
    return App(settings, tenants, store, notifier, live, clock)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "waits.yaml").write_text(LONG_WAIT)
    (tmp_path / "rules" / "many.yaml").write_text(MANY)
    clock = HandClock(T0)
    screen = io.StringIO()
    notifier = ConsoleNotifier(Console(width=100, file=screen))
    made = World(tmp_path, make(tmp_path, clock, notifier), clock, notifier, screen)
    made.app.take_lease()
    yield made
    made.app.stop()


# Edits, one after the other, and what runs and what was reported after each

Edit = Callable[[World], object]


def write(name: str, text: str) -> Edit:
    return lambda world: world.write(name, text)


def remove(name: str) -> Edit:
    return lambda world: world.remove(name)


def rename(old: str, new: str) -> Edit:
    return lambda world: (world.folder / old).rename(world.folder / new)


BOTH = ["many", "long-wait"]  # in the order of the files' names
EDITS: dict[str, list[tuple[Edit, list[str], list[str]]]] = {
    "a good edit": [(write("many.yaml", MANY.replace("many", "crowd")), ["crowd", "long-wait"], [])],
    "a new file": [(write("more/new.yaml", MANY.replace("many", "crowd")), ["many", "crowd", "long-wait"], [])],
    "a file is renamed": [(rename("rules/many.yaml", "rules/zebra.yaml"), ["long-wait", "many"], [])],
    "a file is removed": [(remove("many.yaml"), ["long-wait"], [])],
    "a file becomes a note": [(rename("rules/many.yaml", "rules/many.txt"), ["long-wait"], [])],
    "saved without a change": [(write("many.yaml", MANY), BOTH, [])],
    "broken, saved again, then fixed": [
        (write("waits.yaml", BROKEN), BOTH, ['waits.yaml:6:5: rule long-wait: unknown key "scoop"']),
        (write("waits.yaml", BROKEN), BOTH, []),
        (write("waits.yaml", LONG_WAIT + "# fixed\n"), BOTH, ["are valid again"]),
        (write("waits.yaml", LONG_WAIT), BOTH, []),
    ],
    "broken, broken differently, and reverted": [
        (write("waits.yaml", BROKEN), BOTH, ['unknown key "scoop"']),
        (write("waits.yaml", BROKEN.replace("scoop", "skope")), BOTH, ['unknown key "skope"']),
        (write("waits.yaml", BROKEN), BOTH, []),
        (write("waits.yaml", LONG_WAIT), BOTH, ["are valid again"]),
        (write("waits.yaml", BROKEN), BOTH, ['unknown key "scoop"']),
    ],
    "a good edit beside a broken file waits for it": [
        (write("waits.yaml", BROKEN), BOTH, ["scoop"]),
        (write("many.yaml", MANY.replace("many", "crowd")), BOTH, ["scoop"]),
        (write("waits.yaml", LONG_WAIT), ["crowd", "long-wait"], ["added: crowd; removed: many"]),
    ],
    "the same id twice": [(write("new.yaml", MANY), BOTH, ["the id many is already used"])],
    "a file that is not text": [
        (lambda world: (world.folder / "rules/many.yaml").write_bytes(b"\xff\xfe"), BOTH, ["many.yaml:1:1:"])
    ],
    "an empty file stays": [(write("many.yaml", ""), BOTH, ["many.yaml"])],
    "the folder vanishes and comes back": [
        (rename("rules", "away"), BOTH, ["no such file or folder"]),
        (rename("away", "rules"), BOTH, ["are valid again"]),
    ],
    "all files go": [
        (lambda world: (world.remove("many.yaml"), world.remove("waits.yaml")), BOTH, ["no rule files in this folder"])
    ],
    "a template that is missing, then added": [
        (write("many.yaml", WITH_TEMPLATE), BOTH, ["many.yaml:5:15: rule many: there is no template 'mine'"]),
        (write("templates/mine.j2", TEMPLATE), BOTH, ["are valid again"]),
    ],
    "a template breaks and is fixed": [
        (lambda world: (world.write("templates/mine.j2", TEMPLATE), world.write("many.yaml", WITH_TEMPLATE)), BOTH, []),
        (write("templates/mine.j2", TEMPLATE.replace("Mine", "{{ card.nothing }}")), BOTH, ["templates/mine.j2:2:0:"]),
        (write("templates/mine.j2", TEMPLATE), BOTH, ["are valid again"]),
    ],
    "a template without an end, then a good one": [
        (lambda world: (world.write("templates/mine.j2", TEMPLATE), world.write("many.yaml", WITH_TEMPLATE)), BOTH, []),
        (write("templates/mine.j2", TEMPLATE.replace("Mine", ENDLESS)), BOTH, ["templates/mine.j2:2:0:"]),
        (write("templates/mine.j2", TEMPLATE.replace("Mine", "{{ 9**(9**9) }}")), BOTH, ["templates/mine.j2:2:0:"]),
        (write("templates/mine.j2", TEMPLATE), BOTH, ["are valid again"]),
    ],
    "files that are not rules": [(write("tests/cases.yaml", "nonsense: ["), BOTH, [])],
}


@pytest.mark.parametrize("edits", EDITS.values(), ids=EDITS)
def test_an_edit_is_live_or_named_within_five_seconds(
    world: World, edits: list[tuple[Edit, list[str], list[str]]]
) -> None:
    """A good edit runs; a broken one is reported once, with file and line, and once more when it is fixed."""
    for number, (edit, ids, said) in enumerate(edits, start=1):
        before, count = world.version, len(world.reports)
        edit(world)
        world.settle()
        assert world.ids == ids, f"edit {number}"
        new = world.reports[count:]
        assert len(new) == len(said), f"edit {number}: {new}"
        for text, part in zip(new, said, strict=True):
            assert part in text
            assert ("keeps running" in text) is ("valid again" not in text)
        if said and "valid again" not in new[0] and "added" not in said[0]:
            assert world.version == before
        running = world.app.store.running("acme")
        assert running is not None
        assert running.version == world.version
    count = len(world.reports)
    world.settle()
    assert len(world.reports) == count  # and nothing more


def test_close_of_business_follows_an_edit(world: World) -> None:
    """By the calendar that runs; a tenant that left the configuration has none."""
    office = 'hours: {office: {timezone: UTC, open: {mon-sun: "08:00-%s:00"}}}\n'
    noon = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    found = []
    for hour in ("", "18", "20"):
        if hour:
            world.write("office.yaml", office % hour + MANY.replace("many", "crowd"))
            world.settle()
        found.append(world.app.live.closes_at("acme", "long-wait", noon))
    assert found == [None, noon + timedelta(hours=6), noon + timedelta(hours=8)]
    assert world.app.live.closes_at("gone", "long-wait", noon) is None


def test_many_faults_are_cut_short(world: World) -> None:
    rule = "  - {id: r%d, scope: queue, when: nothing.rt > 1}\n"
    world.write("many.yaml", "rules:\n" + "".join(rule % n for n in range(9)))
    world.settle()
    (text,) = world.reports
    assert text.count("nothing.rt") == 5
    assert text.endswith("and 4 more; `alertbot check` lists them all")


# Files that are being written


def test_an_edit_waits_until_the_files_stop_changing(world: World) -> None:
    """Every write restarts the wait."""
    for size in (1, 2, 3, 4):
        world.write("more.yaml", "rules:\n" + "".join(MANY.splitlines(True)[1:]).replace("many", "crowd") + "#" * size)
        assert not world.look(0.5)
    assert not world.look(QUIET - 0.6)
    assert world.ids == BOTH
    assert world.look(0.6)
    assert "crowd" in world.ids


@pytest.mark.parametrize("text", ["", "rules:\n  - id: lo", "rules: []\n"], ids=["empty", "cut off", "cut but valid"])
def test_a_half_written_file_is_no_edit(world: World, text: str) -> None:
    """An editor that empties a file before it writes, or a slow copy: nothing is reported, and no alert ends."""
    world.poll()
    world.write("waits.yaml", text)
    for _ in range(int(QUIET_IF_DOUBTFUL / 0.5)):
        assert not world.look(0.5)
    world.write("waits.yaml", LONG_WAIT.replace("60s", "61s"))
    world.settle()
    world.poll()
    assert world.reports == []
    assert world.open()["long-wait Sales"].state is State.FIRING
    assert world.ended() == {}


def test_a_file_that_is_replaced_by_renaming(world: World) -> None:
    """Missing for one check, as with some editors; the copy they keep meanwhile is ignored."""
    (world.folder / "rules/waits.yaml").rename(world.folder / "rules/waits.yaml~")
    assert not world.look()
    world.write("waits.yaml.tmp", LONG_WAIT.replace("long-wait", "slow"))
    assert not world.look()
    (world.folder / "rules/waits.yaml.tmp").rename(world.folder / "rules/waits.yaml")
    world.settle()
    assert world.ids == ["many", "slow"]
    assert world.reports == []


def test_sighup_does_not_wait(world: World) -> None:
    """Good or broken, the first check decides; what was reported already is not reported again."""
    world.write("many.yaml", MANY.replace("many", "crowd"))
    assert world.look(0, at_once=True)
    assert world.ids == ["crowd", "long-wait"]
    world.write("many.yaml", BROKEN_MANY)
    assert world.look(0, at_once=True)
    assert world.look(0, at_once=True)
    assert len(world.reports) == 1


def test_a_database_that_cannot_be_written_swaps_nothing(world: World) -> None:
    """The swap comes last; when the database can be written again, the edit goes live."""
    other = sqlite3.connect(world.folder / "alertbot.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    world.write("many.yaml", MANY.replace("> 90", "> 80"))
    world.look()
    before = world.version
    with pytest.raises(StoreError, match="locked"):
        world.look(QUIET)
    assert world.version == before
    other.execute("ROLLBACK")
    other.close()
    assert world.look()
    assert world.version != before


# Alerts


def test_editing_keeps_open_alerts(world: World) -> None:
    """A new title and a lower threshold: the same alert, evaluated again at the next poll."""
    world.poll()
    first = world.open()["long-wait Sales"]
    assert (first.state, first.level) == (State.FIRING, Level.WARNING)
    world.write("waits.yaml", LONG_WAIT.replace("300s", "120s").replace("scope", "title: Slow\n    scope"))
    world.settle()
    world.poll()
    after = world.open()["long-wait Sales"]
    assert (after.id, after.fired_at, after.level, after.about.title) == (
        first.id, first.fired_at, Level.CRITICAL, "Slow",
    )  # fmt: skip
    world.write("waits.yaml", LONG_WAIT.replace("60s", "200s"))
    world.settle()
    world.poll()
    assert world.ended() == {"long-wait": Reason.RESOLVED}


def test_renaming_an_id_is_remove_plus_add(world: World) -> None:
    world.poll()
    first = world.open()["long-wait Sales"]
    world.write("waits.yaml", LONG_WAIT.replace("long-wait", "slow"))
    world.settle()
    world.poll()
    assert world.ended() == {"long-wait": Reason.RULE_REMOVED}
    assert world.open()["slow Sales"].id != first.id


@pytest.mark.parametrize("edit", [remove("waits.yaml"), write("waits.yaml", "rules: []\n")], ids=["file", "rule"])
def test_removing_a_rule_ends_its_alerts(world: World, edit: Edit) -> None:
    world.poll()
    world.card_of(world.open()["long-wait Sales"])
    edit(world)
    world.settle()
    world.poll()
    assert world.ended() == {"long-wait": Reason.RULE_REMOVED}
    assert "rule was removed" in world.card_of(world.app.store.ended(T0)[0])  # type: ignore[attr-defined]


def test_a_broken_file_ends_nothing(world: World) -> None:
    world.poll()
    world.write("waits.yaml", BROKEN)
    world.settle()
    world.poll()
    assert world.open()["long-wait Sales"].state is State.FIRING
    assert world.ended() == {}


def test_cards_are_drawn_with_the_last_good_template(world: World) -> None:
    """A broken template on disk is not used: the card stays as it was drawn before."""
    world.write("templates/mine.j2", TEMPLATE)
    world.write("waits.yaml", LONG_WAIT + "    template: mine\n")
    world.settle()
    world.write("templates/mine.j2", TEMPLATE.replace("Mine", "{{ broken"))
    world.settle()
    world.poll()
    shown = world.card_of(world.open()["long-wait Sales"])
    assert "Mine" in shown
    assert list(world.notifier.take_faults()) == []


# What runs, since when


def test_a_version_keeps_its_since_over_a_restart(world: World) -> None:
    """The same files, read from anywhere: the same version, live since the first start."""
    world.clock.forward(seconds=3600)
    world.app.live.begin(world.app.store, world.app.reloader._swap, world.clock())
    running = world.app.store.running("acme")
    assert running is not None
    assert (running.since, running.version) == (T0, world.version)
    assert {Path(name).name for name in running.files} == {"many.yaml", "waits.yaml"}
    os.symlink(world.folder, world.folder / "link")
    assert read_disk(world.folder / "link" / "rules").digest == world.version
    world.write("many.yaml", MANY + "# other\n")
    world.settle()
    other = world.app.store.running("acme")
    assert other is not None
    assert other.since > T0


def ask(world: World, text: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What `alertbot ask` prints; it must answer without a problem."""
    (world.folder / "alertbot.yaml").write_text(CONFIG)
    with suppress(SystemExit):  # another status means no answer to compare
        main(["ask", text, "--config", str(world.folder / "alertbot.yaml")])
    return capsys.readouterr().out


def test_ask_shows_what_runs_whatever_is_on_disk(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """From another process: the running version and since when; edited or broken files are named, but not used."""
    world.poll()
    answer = ask(world, "rules", capsys)
    assert f"2 rules, version {world.version}, live since 2026-03-02 09:00 UTC." in answer
    assert "files on disk" not in answer
    world.write("many.yaml", MANY.replace("many", "crowd"))
    answer = ask(world, "rules", capsys)
    assert f"version {world.version}, live since" in answer
    assert (
        f"differ from the running rules: version {read_disk(world.folder / 'rules').digest}, which is not running"
        in answer
    )
    assert "crowd" not in answer
    world.write("many.yaml", BROKEN_MANY)
    answer = ask(world, "rules", capsys)
    assert "differ from the running rules" in answer
    assert "many.yaml:5:5:" in answer
    assert "Sales" in ask(world, "alerts", capsys)


def test_the_bot_itself_says_that_files_are_broken(world: World) -> None:
    world.write("many.yaml", BROKEN_MANY)
    world.settle()
    (version,) = world.app.view(Command("status")).versions
    assert (version.version, version.since, version.rules) == (world.version, T0, 2)
    assert "many.yaml:5:5:" in version.on_disk


# The start


def test_the_start_refuses_with_all_faults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run`: exit status 1, every fault of every tenant's files, and no database is made."""
    (tmp_path / "rules").mkdir()
    crowd, theirs = "one/c.yaml", WITH_TEMPLATE.replace("many", "crowd")
    for name, text in (
        ("one/a.yaml", BROKEN),
        ("one/b.yaml", "rules: 5\n"),
        ("two/c.yaml", WITH_TEMPLATE),
        (crowd, theirs),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    tenant = "  - {name: %s, region: us, api_key: k, api_secret: s, rules: %s}\n"
    config = CONFIG.splitlines(True)
    config[1:2] = [tenant % ("acme", "one"), tenant % ("globex", "two")]
    (tmp_path / "alertbot.yaml").write_text("".join(config))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["run"])
    assert end.value.code == 1
    shown = capsys.readouterr().out
    assert "one/a.yaml:6:5:" in shown
    assert "one/b.yaml:1:" in shown
    assert "rule many: there is no template 'mine'" in shown
    assert "rule crowd: there is no template 'mine'" in shown
    assert not (tmp_path / "alertbot.db").exists()


def test_tenants_have_their_own_rules(tmp_path: Path) -> None:
    """One tenant's broken file does not delay another's edit; tenants that share a folder are swapped together."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rules.yaml").write_text(MANY)
    paths = {"acme": tmp_path / "one", "globex": tmp_path / "two", "initech": tmp_path / "one"}
    live, store = LiveRules(paths), SqliteStore(":memory:")
    swapped: list[tuple[str, ...]] = []

    def look(moment: float) -> None:
        live.look(store, lambda tenants, *_: swapped.append(tuple(tenants)), "#ops", T0, moment)

    (tmp_path / "one" / "rules.yaml").write_text(BROKEN)
    (tmp_path / "two" / "rules.yaml").write_text(LONG_WAIT)
    for half_seconds in range(10):
        look(half_seconds / 2)
    assert swapped == [("globex",)]
    assert [rule.id for rule in live.rules("globex").rules] == ["long-wait"]
    (tmp_path / "one" / "rules.yaml").write_text(LONG_WAIT)
    for half_seconds in range(10, 20):
        look(half_seconds / 2)
    assert swapped == [("globex",), ("acme", "initech")]
    store.close()


def test_broken_files_make_no_rules(tmp_path: Path) -> None:
    with pytest.raises(FaultsFound, match="no such file or folder"):
        LiveRules({"acme": tmp_path / "rules"})


# Watching, in real time


def seen_by_watch(paths: list[Path], edit: Callable[[], object], folder: Path) -> float:
    """Seconds until `watch` called back with the edit visible."""
    stop, looked, seen = threading.Event(), threading.Event(), threading.Event()
    before = read_disk(folder).digest

    def look() -> None:
        looked.set()
        if read_disk(folder).digest != before:
            seen.set()

    thread = threading.Thread(target=watch, args=(paths, stop, look), daemon=True)
    thread.start()
    try:
        assert looked.wait(5)
        began = time.monotonic()
        edit()
        assert seen.wait(5)
        return time.monotonic() - began
    finally:
        stop.set()
        thread.join(5)
        assert not thread.is_alive()


def test_a_saved_file_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    assert seen_by_watch([folder], lambda: (folder / "a.yaml").write_text(MANY), folder) < 4


def test_without_events_the_files_are_checked_all_the_same(tmp_path: Path) -> None:
    """A folder that is created only later: no event reports it."""
    folder = tmp_path / "rules"

    def edit() -> None:
        folder.mkdir()
        (folder / "a.yaml").write_text(MANY)

    assert seen_by_watch([folder], edit, folder) < 4


def test_a_running_bot_takes_an_edit(tmp_path: Path) -> None:
    """The thread of the bot, in real time: live within the promised five seconds."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "many.yaml").write_text(MANY)
    app = make(tmp_path, lambda: datetime.now(UTC), ConsoleNotifier(Console(width=100)))
    try:
        app.take_lease()
        app.start()
        (tmp_path / "rules" / "many.yaml").write_text(MANY.replace("> 90", "> 80"))
        wanted, began = read_disk(tmp_path / "rules").digest, time.monotonic()
        while app.tenants[0].rules.version != wanted:
            assert time.monotonic() - began < 5
            time.sleep(0.02)
        (tmp_path / "rules" / "many.yaml").write_text(BROKEN_MANY)
        app.reload_at_once()
        while not app.live.on_disk()["acme"]:
            assert time.monotonic() - began < 10
            time.sleep(0.02)
    finally:
        app.stop()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="SIGHUP does not exist on this platform")
def test_sighup_asks_to_reload() -> None:
    stopped, reloaded = threading.Event(), threading.Event()
    with signals(stopped.set, reloaded.set):
        os.kill(os.getpid(), signal.SIGHUP)
        assert reloaded.wait(2)
    assert not stopped.is_set()
