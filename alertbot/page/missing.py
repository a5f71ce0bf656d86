"""Pages for addresses with an unknown rule or entity: 404, and the nearest ones that exist. PURE."""

from __future__ import annotations

from collections.abc import Sequence

from alertbot.commands.find import Entity, find_rules, similar
from alertbot.commands.live import named
from alertbot.commands.view import View
from alertbot.commands.wording import MAX_NAMES, echo
from alertbot.page.links import rule_link
from alertbot.page.page import Link, Shown
from alertbot.rules.catalogue import Scope
from alertbot.rules.words import count


def not_found(heading: str, *sentences: str, near: Sequence[Link] = ()) -> Shown:
    """404 with the nearest names."""
    values = {"heading": heading, "sentences": sentences, "near": near}
    return Shown("problem.html", values, status=404)


def no_rule(view: View, wanted: str) -> Shown:
    """No rule has this id: suggests similar ones."""
    running = view.rules.rules
    ids = dict.fromkeys(rule.id for rule in find_rules(running, wanted)) if wanted else {}
    ids |= dict.fromkeys(similar(wanted, [(name, rule.id) for rule in running for name in (rule.id, rule.title)]))
    titles = {rule.id: rule.title for rule in running}
    near = [Link(f"{titles[id_]} ({id_})", rule_link(id_)) for id_ in list(ids)[:MAX_NAMES]]
    return not_found("No such rule", f"There is no rule {echo(wanted)}.", near=near)


def no_entity(view: View, scope: Scope, known: Sequence[Entity], wanted: str, near: Sequence[Link]) -> Shown:
    """No entity of this scope has this id or name. `near`: links to similar ones."""
    sentence = f"No {scope} is called {echo(wanted)}."
    if not known:
        troubles = [tenant.error for tenant in view.tenants if tenant.error]
        return not_found(f"No such {scope}", sentence, f"No {scope} has been seen yet.", *troubles)
    more = () if near else (f"{count(len(known), scope.value.replace('_', ' '))} are known.",)
    return not_found(f"No such {scope}", sentence, *more, near=near)


def nearest(known: Sequence[Entity], wanted: str, view: View) -> list[tuple[str, Entity]]:
    """The entities whose name is most like what was typed, with the name that is shown."""
    found = similar(wanted, ((each.full_name, each) for each in known))
    return [(named(each, view), each) for each in found]
