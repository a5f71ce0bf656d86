"""The commands; the one place that prints and exits. Results on stdout, logs on stderr.

Exit status: 0 fine, 1 it found or met a problem, 2 it was used wrongly (usage, configuration).
"""

from __future__ import annotations

import getpass
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from alertbot import __version__, logs
from alertbot.alerts.alert import State
from alertbot.app import App, build, change, check_slack, make_view, open_store, rules_of, template_folders
from alertbot.clock import ScaledClock, wall_clock
from alertbot.commands.answers import answer, settle
from alertbot.commands.command import Asker, Line, Reply, parse
from alertbot.config import Settings, config_path, config_schema, load
from alertbot.errors import AlertbotError, Fault, FaultsFound, UsageError
from alertbot.notify.console import ConsoleNotifier
from alertbot.notify.render import check_template
from alertbot.poll import Polled
from alertbot.reloader import load_rules
from alertbot.rules.rule import Level, Rule
from alertbot.rules.schema import rules_schema
from alertbot.rules.units import parse_duration
from alertbot.simulator.server import Simulator, SimulatorOptions, run_forever, serve
from alertbot.starter import NEXT_STEPS, shipped_rules, write_files
from alertbot.store.store import Totals
from alertbot.web.manifest import manifest

PROBLEM, WRONG_USE = 1, 2

cli = typer.Typer(
    name="alertbot",
    help="Threshold alerts in Slack for contact centres that run on 8x8. Try `alertbot demo` first.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Default: $ALERTBOT_CONFIG, else ./alertbot.yaml."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer for a machine.")]


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit: no traceback ever reaches a user."""
    try:
        cli(args=args)
    except FaultsFound as found:
        _show_faults(found.faults)
        sys.exit(PROBLEM)
    except UsageError as error:
        err.print(str(error), markup=False, soft_wrap=True)
        sys.exit(WRONG_USE)
    except AlertbotError as error:
        err.print(str(error), markup=False, soft_wrap=True)
        sys.exit(PROBLEM)
    except KeyboardInterrupt:
        sys.exit(130)  # 128 + SIGINT, as shells count
    except BrokenPipeError:  # `alertbot check | head`
        sys.stderr.close()
        sys.exit(PROBLEM)


def _version(value: bool) -> None:
    if value:
        out.print(f"alertbot {__version__}")
        raise typer.Exit


@cli.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    pass


# The service


@cli.command()
def run(
    config: Config = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more in the log.")] = False,
) -> None:
    """The service: poll every tenant, tell Slack, answer the slash command, until it is told to stop."""
    settings = load(config_path(config))
    logs.configure(settings.secrets(), verbose=verbose)
    app = build(settings)
    with _signals(app.ask_to_stop):
        try:
            app.take_lease()
            app.listen()
            check_slack(app)
            app.start()
            app.wait()
        finally:
            clean = app.stop()
    _leave(clean)


@cli.command()
def poll(
    config: Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Store and send nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """One poll of every tenant: deliver what is due, say what was seen and decided. For cron and for trying things."""
    settings = load(config_path(config))
    logs.configure(settings.secrets(), quiet=True)
    app = build(settings)
    try:
        if not dry_run:
            app.take_lease()
        outcomes = app.poll_once(dry_run=dry_run)
        told, held_back = (None, None) if dry_run else (app.told, app.store.totals().waiting)
        firing = {} if dry_run else {name: _firing(app, name) for name in outcomes}
    finally:
        clean = app.stop()
    if as_json:
        _print_json({name: _poll_json(each, firing.get(name), told, held_back) for name, each in outcomes.items()})
    else:
        for name, each in outcomes.items():
            _show_polled(name, each)
        if not dry_run:
            out.print(f"told {told}, held back {held_back}" + (f": {app.delivery_problem}" if held_back else ""))
    good = all(isinstance(each, Polled) and each.good for each in outcomes.values())
    if not good or held_back:
        raise typer.Exit(PROBLEM)
    _leave(clean)


def _leave(clean: bool) -> None:
    if not clean:
        # A poll or a post still hangs in a thread that Python would wait for. All that matters is stored.
        sys.stdout.flush()
        os._exit(0)


def _firing(app: App, tenant: str) -> int:
    return sum(alert.open for alert in app.store.alerts(tenant))


def _poll_json(polled: Polled | str, firing: int | None, told: int | None, held_back: int | None) -> dict[str, Any]:
    if isinstance(polled, str):
        return {"problems": [polled]}
    would_fire = sum(change.after.open for change in polled.changes)
    return {
        "entities": {scope: len(snapshot) for scope, snapshot in polled.snapshots.items()},
        "requests": [
            {
                "endpoint": each.endpoint,
                "page": each.page,
                "keys": each.keys,
                "entities": each.entities,
                "bytes": each.bytes,
                "took_ms": round(each.took_ms, 1),
                "tries": each.tries,
            }
            for each in polled.fetched.requests
        ],
        "took_ms": round(polled.fetched.took_ms, 1),
        "firing": would_fire if firing is None else firing,
        "changes": [
            {
                "rule": each.after.key.rule,
                "entity": each.after.entity_name,
                "from": each.before.state if each.before else State.INACTIVE,
                "to": each.after.state,
                "level": each.after.level.word,
                "reason": each.reason,
                "why": each.why,
            }
            for each in polled.changes
            if each.moved
        ],
        "told": told,
        "held_back": held_back,
        "problems": list(polled.problems),
    }


def _show_polled(name: str, polled: Polled | str) -> None:
    if isinstance(polled, str):
        out.print(f"{name}: {polled}", markup=False, soft_wrap=True)
        return
    seen = ", ".join(f"{len(snapshot)} {scope}s" for scope, snapshot in polled.snapshots.items()) or "nothing"
    requests = polled.fetched.requests
    out.print(
        f"{name}: saw {seen} in {len(requests)} requests, {polled.fetched.took_ms:.0f} ms", markup=False, soft_wrap=True
    )
    for problem in polled.problems:
        out.print(f"  problem: {problem}", markup=False, soft_wrap=True, style="yellow")
    for each in polled.changes:
        if each.moved:
            after = each.after
            what = f"{after.about.title}: {after.entity_name}"
            text = f"  {after.state:<10} {after.level.word:<8} {what}: {each.why}"
            out.print(text, markup=False, soft_wrap=True, style=_STYLES[after.level] if after.open else "")


@cli.command()
def demo(
    for_: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long, on the wall clock.")] = "2m",
    speed: Annotated[float, typer.Option(min=0.1, max=100, help="How fast the simulated day goes by.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Another contact centre.")] = 1,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the simulated 8x8; 0: any free one.")] = 0,
) -> None:
    """The whole bot on an embedded simulated contact centre, cards drawn here. No account, no network."""
    seconds = _seconds(for_, "--for")
    logs.configure(quiet=True)
    clock = ScaledClock(speed)
    options = SimulatorOptions(seed=seed, clock=clock, scenario="demo", port=port)
    with tempfile.TemporaryDirectory(prefix="alertbot-demo-") as folder, serve(options) as centre:
        settings = Settings.model_validate(
            {
                "tenants": [
                    {
                        "name": "demo",
                        "base_url": centre.base_url,
                        "token_url": centre.token_url,
                        "api_key": options.api_key,
                        "api_secret": options.api_secret,
                    }
                ],
                "slack": {"default_channel": "#cc-alerts"},
                "rules": str(shipped_rules()),
                "folder": folder,
            }
        )
        out.print(
            f"A simulated contact centre, {speed:g} times as fast as a real day; Ctrl-C ends it. "
            f"Rules: {shipped_rules()}",
            soft_wrap=True,
        )
        app = build(settings, notifier=ConsoleNotifier(out), clock=clock, speed=speed)
        with _signals(app.ask_to_stop):
            try:
                app.take_lease()
                app.start()
                app.wait(until=lambda waited: waited >= seconds)
                app.rest()
                app.deliver_all(patience=5)
                totals, firing = app.store.totals(), _firing(app, "demo")
            finally:
                app.stop()
        _show_summary(totals, firing)
        if totals.waiting or totals.given_up:
            raise typer.Exit(PROBLEM)


@cli.command()
def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8808,
    scenario: Annotated[str, typer.Option(metavar="FILE", help="A file, or rush, walkout, quiet, outage.")] = "",
    seed: Annotated[int, typer.Option(help="Another contact centre.")] = 1,
    queues: Annotated[int, typer.Option(min=1, max=20_000)] = 12,
    groups: Annotated[int, typer.Option(min=1, max=5_000)] = 4,
    agents: Annotated[int, typer.Option(min=1, max=50_000)] = 60,
    speed: Annotated[float, typer.Option(min=0.1, max=100, help="How fast its clock runs.")] = 1.0,
) -> None:
    """The simulated contact centre alone: 8x8's API over HTTP on 127.0.0.1, token endpoint included."""
    logs.configure()
    options = SimulatorOptions(
        seed=seed, queues=queues, groups=groups, agents=agents, speed=speed, scenario=scenario or None, port=port
    )
    run_forever(options, _announce)


def _announce(centre: Simulator) -> None:
    out.print(
        f"Simulated 8x8 Contact Center; Ctrl-C ends it. In alertbot.yaml, in place of `region`:\n"
        f"    base_url: {centre.base_url}\n"
        f"    token_url: {centre.token_url}\n"
        f"    api_key: {centre.options.api_key}\n"
        f"    api_secret: {centre.options.api_secret}",
        soft_wrap=True,
        markup=False,
    )
    sys.stdout.flush()


# Rules


@cli.command()
def check(
    paths: Annotated[list[Path] | None, typer.Argument(metavar="[PATH…]", help="Rule files or folders.")] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Configuration, rules and templates: every fault as path:line:column: text. With PATH only that."""
    if paths:
        groups = [tuple(paths)]
        folders = tuple((path if path.is_dir() else path.parent) / "templates" for path in paths)
    else:
        settings = load(config_path(config), secrets=False)
        groups = [(path,) for path in sorted({settings.path(t.rules or settings.rules) for t in settings.tenants})]
        folders = template_folders(settings)
    rules: list[Rule] = []
    faults: list[Fault] = []
    for group in groups:
        try:
            rules += load_rules(group).rules
        except FaultsFound as found:
            faults += found.faults
    for template in sorted({rule.template for rule in rules}):
        try:
            check_template(template, folders)
        except FaultsFound as found:
            faults += found.faults
    if as_json:
        _print_json([_fault_json(fault) for fault in sorted(faults)])
    elif faults:
        _show_faults(sorted(faults))
    else:
        out.print(f"{len(rules)} rules, no faults")
    if faults:
        raise typer.Exit(PROBLEM)


@cli.command()
def schema(what: Annotated[str, typer.Argument(metavar="rules|config", help="Which file it describes.")]) -> None:
    """JSON Schema for editors."""
    schemas = {"rules": rules_schema, "config": config_schema}
    if what not in schemas:
        raise UsageError(f"no schema of {what!r}: write `alertbot schema rules` or `alertbot schema config`")
    _print_json(schemas[what]())


# Asking


@cli.command()
def ask(
    text: Annotated[str, typer.Argument(help='What you would write behind the slash command: "status".')] = "help",
    config: Config = None,
) -> None:
    """What the slash command would answer. A change is made in the name of the local user."""
    settings = load(config_path(config), secrets=False)
    logs.configure()
    store = open_store(settings, create=False)
    try:
        asker = Asker(user=getpass.getuser(), local=True)
        now = wall_clock()
        reply = answer(make_view(settings, store, rules_of(settings)), parse(text), asker, now)
        if reply.wish:
            result, alert = change(store, reply.wish, asker, now)
            reply = settle(reply.wish, result, alert, asker, now=now, timezone=settings.timezone)
    finally:
        store.close()
    _show_reply(reply)
    if reply.problem:
        raise typer.Exit(PROBLEM)


# Setting up


@cli.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where.")] = Path(),
) -> None:
    """Write a commented alertbot.yaml, the first rules and the Slack app manifest; leave what is there."""
    for path, written in write_files(folder):
        out.print(f"{'wrote' if written else 'kept '} {path}", soft_wrap=True)
    out.print(NEXT_STEPS, soft_wrap=True)


@cli.command(name="manifest")
def manifest_(
    url: Annotated[str | None, typer.Option(metavar="URL", help="Public address for signed HTTP.")] = None,
    config: Config = None,
) -> None:
    """The Slack app manifest: Socket Mode, unless a URL is given."""
    path = config_path(config)
    command = load(path, secrets=False).slack.command if config or path.exists() else "/alertbot"
    _print_json(manifest(command, url))


# Showing


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _fault_json(fault: Fault) -> dict[str, Any]:
    return {
        "file": fault.file,
        "line": fault.line,
        "column": fault.column,
        "rule": fault.rule,
        "message": fault.message,
        "hint": fault.hint,
    }


def _show_faults(faults: Sequence[Fault]) -> None:
    """On stdout, as a compiler would; on a terminal the offending text stands underlined below."""
    for fault in faults:
        out.print(str(fault), markup=False, soft_wrap=True)
        if fault.excerpt and out.is_terminal:
            out.print("    " + fault.excerpt.splitlines()[0], markup=False, style="underline red")
    out.print(f"{len(faults)} fault{'s' if len(faults) != 1 else ''}", style="bold")


_STYLES = {Level.INFO: "cyan", Level.WARNING: "yellow", Level.CRITICAL: "bold red"}


def _show_reply(reply: Reply) -> None:
    for part in reply.parts:
        if isinstance(part, Line):
            style = _STYLES[part.level] if part.level else "bold" if part.strong else ""
            out.print(part.text, markup=False, style=style, soft_wrap=True)
        else:
            table = RichTable(*part.head, box=None, pad_edge=False, header_style="bold")
            for row in part.rows:
                table.add_row(*(Text(cell) for cell in row))
            out.print(table)


def _show_summary(totals: Totals, firing: int) -> None:
    lost = "nothing lost"
    if totals.waiting or totals.given_up:
        lost = f"{totals.waiting} still waiting, {totals.given_up} given up"
    out.print(
        f"\n{totals.polls} polls; {totals.fired} alerts fired, {totals.resolved} resolved, {firing} still open; "
        f"{totals.cards_posted} cards posted, {totals.edits} edits, {totals.lines_posted} thread lines; {lost}",
        soft_wrap=True,
        style="bold",
    )


def _seconds(text: str, option: str) -> float:
    try:
        return parse_duration(text).total_seconds()
    except ValueError:
        raise UsageError(f"{option} takes a duration such as 60s or 2m, not {text!r}") from None


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and Ctrl-C ask to stop; a second one ends at once."""

    def handle(number: int, _: object) -> None:
        stop()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
