"""`silence`, `silences`, `unsilence`: what is silenced, the wish to change that, and the answer once it is decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from alertbot.alerts.alert import Alert, Outcome
from alertbot.alerts.shown import shown_matcher
from alertbot.alerts.silence import Matcher, Silence
from alertbot.commands.changes import MAX_NOTE, alert_id
from alertbot.commands.command import (
    Asker,
    Command,
    CreateSilence,
    EndSilence,
    ExtendSilence,
    Line,
    Person,
    Reply,
    SilenceWish,
    line,
)
from alertbot.commands.find import entities, find_rules, similar
from alertbot.commands.spans import Span, parse_later, parse_span, span_in_words
from alertbot.commands.view import View
from alertbot.commands.wording import and_more, clock, echo, listed, problem, where, worst_first
from alertbot.rules.catalogue import RULE_SCOPES, TOTALS_ENTITY, TOTALS_NAMES, Scope
from alertbot.rules.match import exactly, fold, matches
from alertbot.rules.rule import Level, Rule
from alertbot.rules.terms import EXAMPLE, LABEL, Terms, is_term, parse_terms, write_terms
from alertbot.rules.words import count, nearest
from alertbot.rules.words import listed as either

MAX_SILENCES = 20
MAX_MATCHING = 5  # alerts that are named
MAX_NAMED = 5  # silences that an answer about something else names
MAX_MATCHER = 500  # characters: it is part of every announcement, and Slack refuses long ones

USAGE = "MATCH FOR [why]"
SILENCE_HELP = (
    "MATCH: tenant=, rule=, name=, level=, scope= and label.KEY=, all of which must match; * and ? are wildcards, and "
    'names with spaces need quotes: name="Sales EU".',
    "FOR: 2h, until 18:00, until tomorrow 8:00, from 22:00 until 06:00 or from tomorrow 8:00 for 2h, in your zone; "
    "over 30 days: append long.",
    "level=warning does not silence a rise to critical. Alerts that still fire when it ends are reported then.",
)


def silence(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    """`silence MATCH FOR [why]`, or `silence ID FOR` for one that is to last longer."""
    args = command.args
    number = alert_id(args[0]) if args else None
    if number is not None:
        return _extend(view, number, args[1:], now)
    typed = next((at for at, word in enumerate(args) if not is_term(word)), len(args))
    try:
        matcher = Matcher(_with_full_names(_with_totals(parse_terms(args[:typed])), view))
        if not matcher.terms:
            return _without_terms(view, args)
        if len(str(matcher)) > MAX_MATCHER:
            return problem(f"The terms are too long: {MAX_MATCHER} characters at most.", _NOTHING)
        if wrong := next(_unknown(matcher, view), ""):
            return problem(wrong, _NOTHING)
        span, reason = parse_span(args[typed:], now, view.timezone)
    except ValueError as error:
        return problem(str(error), _NOTHING)
    why = " ".join(reason)
    if len(why) > MAX_NOTE:
        return problem(f"The reason is too long: {MAX_NOTE} characters at most.", _NOTHING)
    return Reply(wish=CreateSilence(matcher, span.starts_at, span.ends_at, why, tuple(_remarks(matcher, view, span))))


_NOTHING = "Nothing was changed."


def _with_totals(terms: Terms) -> Terms:
    """The terms with what rules match in place of `name="All queues"`, as output calls the totals."""
    for scope, shown in TOTALS_NAMES.items():
        known = tuple(
            (term, TOTALS_ENTITY if term == "name" and fold(pattern) == fold(shown) else pattern)
            for term, pattern in terms
        )
        if known != terms:
            return known if any(term == "scope" for term, _ in terms) else (*known, ("scope", scope.value))
    return terms


def _with_full_names(terms: Terms, view: View) -> Terms:
    """The terms with full names in place of initials: where names are hidden, those are all that a user has seen."""
    if not view.names.hidden:
        return terms
    known = {fold(each.full_name) for scope in RULE_SCOPES for each in entities(view.tenants, scope)}
    return tuple(
        (term, view.names.meant(pattern) if term == "name" and fold(pattern) not in known else pattern)
        for term, pattern in terms
    )


def _without_terms(view: View, args: Sequence[str]) -> Reply:
    usage = f"Which alerts? {view.command} silence {USAGE}, for example: {view.command} silence {EXAMPLE} 2h"
    if args and fold(args[0]) in ("*", "all", "everything"):
        return problem(f"{echo(args[0])} is not a term: write name=* for every alert.", usage)
    if args and (rules := find_rules(view.rules.rules, args[0])):
        return problem(f"{echo(args[0])} is not a term: write rule={rules[0].id}.", usage)
    return problem(usage, "Terms: tenant=, rule=, name=, level=, scope=, label.KEY=. All of them must match.")


def _extend(view: View, number: int, words: Sequence[str], now: datetime) -> Reply:
    known = next((each for each in view.silences if each.id == number), None)
    if known is None:
        return _no_silence(view, number)
    try:
        ends_at, rest = parse_later(words, known.starts_at, known.ends_at, now, view.timezone)
    except ValueError as error:
        return problem(str(error), _NOTHING)
    if rest:
        return problem(f"The reason of a silence cannot be changed: leave out {echo(' '.join(rest))}.", _NOTHING)
    return Reply(wish=ExtendSilence(number, ends_at))


def _no_silence(view: View, number: int) -> Reply:
    alert = next((each for each in view.alerts if each.id == number), None)
    if alert is not None:
        return problem(f"#{number} is an alert, not a silence.", how_to_silence(alert, view))
    return problem(f"There is no silence #{number}, or it has ended.", f"{view.command} silences lists them.")


def terms_of(alert: Alert) -> Terms:
    """The terms that match the alerts of one rule about one entity: `tenant= rule= name=`."""
    return (*terms_of_rule(alert), ("name", exactly(alert.entity_name or alert.key.entity_id)))


def terms_of_rule(alert: Alert) -> Terms:
    """The terms that match every alert of the rule of this one, of its tenant."""
    return ("tenant", exactly(alert.key.tenant)), ("rule", alert.key.rule)


def how_to_silence(alert: Alert, view: View) -> str:
    """What to type to silence alerts like this one."""
    return f"To silence such alerts: {view.command} silence {shown_matcher(Matcher(terms_of(alert)), view.names)} 2h"


def unsilence(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    """`unsilence ID`."""
    ids = [f"#{each.id}" for each in view.silences]
    choices = f"Silences: {listed(ids)}." if ids else "There are no silences."
    if not command.args:
        return problem(f"Which silence? {view.command} unsilence ID", choices)
    number = alert_id(command.args[0])
    if number is None:
        return problem(f"{echo(command.args[0])} is not the id of a silence: write it as 17 or #17.", choices)
    if len(command.args) > 1:
        return problem(f"One silence at a time: {view.command} unsilence {number}", choices)
    if any(alert.id == number for alert in view.alerts):
        return _no_silence(view, number)
    return Reply(wish=EndSilence(number))


def silences(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    """`silences`: active and scheduled ones, with the time left, the author, and what they match now."""
    if command.args:
        return problem(f"{view.command} silences takes no arguments.", f"{view.command} silence {USAGE} creates one.")
    if not view.silences:
        return Reply((Line("No silences."), Line(f"To create one: {view.command} silence {EXAMPLE} 2h")))
    known = sorted(view.silences, key=lambda each: (not each.active(now), each.ends_at, each.id))
    lines = [each for one in known[:MAX_SILENCES] for each in _shown(one, view, now)]
    if more := and_more(MAX_SILENCES, len(known)):
        lines.append(Line(more))
    return Reply(tuple(lines))


def _shown(silence: Silence, view: View, now: datetime) -> Iterator[Line]:
    yield line(*described(silence, view.timezone, now), strong=True)
    why = f"{silence.reason}. " if silence.reason else ""
    yield Line(f"    {why}{matching(silence.matcher, view)}")


def described(silence: Silence, timezone: str, now: datetime) -> list[str | Person]:
    """One silence with its time, its author and its matcher, as pieces of a line."""
    until = clock(silence.ends_at, timezone, now)
    if silence.starts_at > now and not silence.started:
        starts = clock(silence.starts_at, timezone, now)
        when = f"from {starts} until {until} (starts in {span_in_words(silence.starts_at - now)})"
    elif silence.ends_at > now:
        when = f"until {until} ({span_in_words(silence.ends_at - now)} left)"
    else:
        when = f"until {until}"
    return [f"#{silence.id} {when}, by ", Person(silence.author), f": {silence.what}"]


def matching(matcher: Matcher, view: View) -> str:
    """Which open alerts it matches now, as a sentence."""
    found = worst_first([alert for alert in view.alerts if alert.open and matcher.matches(alert)])
    if not found:
        return "It matches no open alert now."
    named = listed([f"#{alert.id} {where(alert, view)}" for alert in found], MAX_MATCHING)
    return f"It matches {count(len(found), 'open alert')}: {named}."


def silences_line(view: View, now: datetime) -> Iterator[Line]:
    """How many silences there are, and how many open alerts they mute; no line where there are none."""
    if not view.silences:
        return
    active = sum(each.active(now) for each in view.silences)
    later = len(view.silences) - active
    muted = sum(alert.open and alert.silence is not None for alert in view.alerts)
    words = [f"{active} active"] if active else []
    words += [f"{later} scheduled"] if later else []
    muting = f"; {count(muted, 'open alert is', 'open alerts are')} silenced" if muted else ""
    yield Line(f"Silences: {', '.join(words)}{muting}. {view.command} silences lists them.")


def muting(view: View, rule: Rule, now: datetime) -> Iterator[Line]:
    """For `rules ID`: the silences that can mute alerts of this rule, one line each."""
    found = [each for each in view.silences if each.matcher.may_match_rule(rule)]
    yield from _listed("Silence ", found, view, now)


def _listed(begins: str, found: Sequence[Silence], view: View, now: datetime) -> Iterator[Line]:
    for each in found[:MAX_NAMED]:
        yield line(begins, *described(each, view.timezone, now))
    if len(found) > MAX_NAMED:
        yield Line(f"And {count(len(found) - MAX_NAMED, 'more silence')}: {view.command} silences lists them.")


# What is wrong with a matcher, and what to point out.


def _unknown(matcher: Matcher, view: View) -> Iterator[str]:
    """Sentences about terms that match nothing that exists."""
    rules = view.rules.rules
    labels = sorted({key for rule in rules for key in rule.labels})
    known: dict[str, tuple[str, Sequence[str]]] = {
        "tenant": ("tenant", [tenant.name for tenant in view.tenants]),
        "rule": ("rule", [rule.id for rule in rules]),
        "level": ("level", [level.word for level in Level]),
        "scope": ("scope", [str(scope) for scope in RULE_SCOPES]),
    }
    for term, pattern in matcher.terms:
        if term in known:
            noun, names = known[term]
            if not any(matches(pattern, name) for name in names):
                yield _no_such(view, noun, pattern, names)
        elif term.startswith(LABEL):
            key = term.removeprefix(LABEL)
            values = sorted({rule.labels[name] for rule in rules for name in rule.labels if fold(name) == fold(key)})
            if not values:
                near = nearest(key, labels, cutoff=0.5)
                also = f"did you mean label.{near[0]}=?" if near else f"labels: {listed(labels)}." if labels else ""
                yield f"No rule has the label {echo(key)}" + (f": {also}" if also else ", or any other label.")
            elif not any(matches(pattern, value) for value in values):
                yield f"No rule has the label {key} with the value {echo(pattern)}: its values are {listed(values)}."
    for term in ("tenant", "level"):
        given = tuple(each for each in matcher.terms if each[0] == term)
        if not any(all(matches(pattern, name) for _, pattern in given) for name in known[term][1]):
            yield f"No alert has {' and '.join(write_terms((each,)) for each in given)}: write one of them."
    if rules and not any(matcher.may_match_rule(rule) for rule in rules):
        yield f"No rule matches all of {shown_matcher(matcher, view.names)}: the silence would match nothing."


def _no_such(view: View, noun: str, pattern: str, names: Sequence[str]) -> str:
    if noun == "rule" and (titled := find_rules(view.rules.rules, pattern)):
        return f"There is no rule {echo(pattern)}: did you mean rule={titled[0].id}?"
    near = nearest(pattern, names, cutoff=0.5)
    if near:
        return f"There is no {noun} {echo(pattern)}: did you mean {noun}={near[0]}?"
    if noun == "rule":
        return f"There is no rule {echo(pattern)}: {view.command} rules lists them."
    there = "the only one is" if len(names) == 1 else f"the {noun}s are"
    return f"There is no {noun} {echo(pattern)}: {there} {listed(names)}."


def _remarks(matcher: Matcher, view: View, span: Span) -> Iterator[str]:
    yield matching(matcher, view)
    patterns = [pattern for term, pattern in matcher.terms if term == "name"]
    scopes = {rule.scope for rule in view.rules.rules if matcher.may_match_rule(rule)} or set(RULE_SCOPES)
    known = [each for scope in RULE_SCOPES if scope in scopes for each in entities(view.tenants, scope)]
    for pattern in patterns:
        if known and not any(matches(pattern, each.full_name) for each in known):
            near = similar(pattern, [(each.full_name, each.name) for each in known], limit=1)
            hint = f" Did you mean {echo(near[0])}?" if near else ""
            yield f"{_nouns(scopes)} with a name like {echo(pattern)} is known.{hint}"


def _nouns(scopes: set[Scope]) -> str:
    kinds = [scope for scope in (Scope.QUEUE, Scope.GROUP, Scope.AGENT) if scope in scopes]
    if any(scope in scopes for scope in (Scope.QUEUE_AGENT, Scope.GROUP_AGENT)) and Scope.AGENT not in kinds:
        kinds.append(Scope.AGENT)
    return f"No {either(kinds, 'or')}" if kinds else "Nothing"


# What the store decided.


def silence_reply(
    wish: SilenceWish, result: Outcome, silence: Silence | None, asker: Asker, now: datetime, timezone: str
) -> Reply:
    """The answer to a wish about a silence: what the store decided, and the silence as it is now."""
    number = wish.silence_id if not isinstance(wish, CreateSilence) else 0
    if silence is None:
        return problem(f"There is no silence #{number}.")
    if result is Outcome.ENDED:
        ended = min(silence.ended_at or silence.ends_at, silence.ends_at)  # `ended_at` may be when it was announced
        by: list[str | Person] = [" by ", Person(silence.ended_by)] if silence.ended_by else []
        was = " was" if silence.ended_by else ""
        text = line(f"Silence #{number}{was} already ended at {clock(ended, timezone, now)}", *by, ".", strong=True)
        return Reply((text,), problem=True)
    if result is Outcome.ALREADY:
        until = clock(silence.ends_at, timezone, now)
        return problem(f"Silence #{number} already lasts until {until}: it may have just been extended.")
    if isinstance(wish, EndSilence):
        ends = line(f"Silence #{silence.id} ended by ", Person(asker.user), f": {silence.what}", strong=True)
        return Reply((ends, Line("Alerts that still fire are reported with the next poll.")))
    made = line("Silence ", *described(silence, timezone, now), strong=True)
    if isinstance(wish, ExtendSilence):
        return Reply((made, line("Extended by ", Person(asker.user), ".")))
    return Reply((made, *(Line(text) for text in wish.remarks), Line(how_to_change(silence))))


def how_to_change(silence: Silence) -> str:
    """What to type to change a silence."""
    return f"silence {silence.id} 1h extends it by an hour, unsilence {silence.id} ends it."


def silencing(view: View, rule: Rule, alert: Alert | None, tenant: str, name: str, now: datetime) -> Iterator[Line]:
    """For `why`: the silence that mutes the alert, and those that match the entity and may mute it."""
    muting_it = alert.silence if alert is not None else None
    for each in view.silences:
        if each.id == muting_it:
            why = f" ({each.reason})" if each.reason else ""
            yield line("Silenced: ", *described(each, view.timezone, now), f"{why}. It is tracked, not reported.")
    others = [each for each in view.silences if each.id != muting_it and each.matcher.may_match(tenant, rule, name)]
    yield from _listed("A silence matches it: ", others, view, now)
    if muting_it is not None and all(each.id != muting_it for each in view.silences):
        yield Line(f"Silenced by #{muting_it}, which has ended: it will be reported with the next poll.")
