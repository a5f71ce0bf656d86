"""What one fetch gathers: which calls are left, what came of each listing, and what to do when one is refused."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field, replace
from typing import Final

from alertbot.errors import SourceRejected
from alertbot.rules.catalogue import Scope, catalogue
from alertbot.sources.eight_by_eight.assemble import Part, beyond_the_page
from alertbot.sources.eight_by_eight.decode import Page
from alertbot.sources.eight_by_eight.names import Names
from alertbot.sources.eight_by_eight.plan import AGENTS, PAGE_SIZE, TOTAL, Call, Doubt, Listing
from alertbot.sources.eight_by_eight.round import RequestOutcome

Found = tuple[str, str]
"""The path of an endpoint, and an id or key that 8x8 does not know there."""
_TOTALS_OF: Final = {Scope.QUEUE_TOTALS: Scope.QUEUE, Scope.AGENT_TOTALS: Scope.AGENT}


@dataclass(slots=True)
class Harvest:
    """A listing and what came of it. `asked` is the listing as it is asked for now, without refused ids."""

    listing: Listing
    asked: Listing | None
    parts: list[Part] = field(default_factory=list)
    left: int = 0  # calls on their way
    doubts: list[Doubt] = field(default_factory=list)  # not looked into yet
    doubting: bool = False

    @property
    def rows(self) -> Scope:
        """What its rows are."""
        return row_scope(self.listing.scopes)

    @property
    def parent(self) -> str:
        """The queue or group of all rows, where it is named in the path."""
        agents = self.rows in (Scope.QUEUE_AGENT, Scope.GROUP_AGENT)
        return self.listing.path_ids[0] if agents and self.listing.path_ids else ""

    @property
    def ended_well(self) -> bool:
        return not self.left and bool(self.parts) and not any(part.lacks() for part in self.parts)

    def names(self) -> dict[str, str]:
        """Names by id, of all pages."""
        pages = [page for part in self.parts for page in part.pages.values() if isinstance(page, Page)]
        return {identity: name for page in pages for identity, name in zip(page.ids, page.names, strict=True)}

    def groups(self) -> dict[str, tuple[str, str]]:
        """Groups by id of the agent, of all pages."""
        pages = [page for part in self.parts for page in part.pages.values() if isinstance(page, Page)]
        return {agent: group for page in pages for agent, group in page.groups.items()}


def row_scope(scopes: tuple[Scope, ...]) -> Scope:
    """The scope whose keys the rows of a listing have."""
    found = [_TOTALS_OF.get(scope, scope) for scope in scopes] or [Scope.QUEUE]
    return Scope.AGENT if Scope.AGENT in found else found[0]


class Gathering:
    """The listings of one fetch on their way.

    A listing that 8x8 refuses because of ids (one that it does not know fails the whole request) is asked for once
    more without the unknown ones, which the summary tells; one that it refuses with keys that the catalogue does not
    know, without those. `unknown_ids` and `refused_keys` are what was found.
    """

    def __init__(
        self,
        listings: Iterable[Listing],
        names: Names,
        *,
        max_pages: int,
        room: int,
        avoid: Set[Found] = frozenset(),
    ) -> None:
        """`avoid`: what earlier fetches found that 8x8 does not know, and that is not tried again yet."""
        self.harvests = [Harvest(each, _without(each, avoid)) for each in listings]
        self.unknown_ids: list[Found] = []
        self.refused_keys: list[Found] = []
        self._names = names
        self._max_pages = max_pages
        self._room = room
        self._of_call: dict[Listing, Harvest] = {}
        self._summaries: dict[Listing, Harvest] = {}  # read because of a refusal
        self._waiting: dict[Listing, list[Harvest]] = {}  # for such a summary

    def begin(self) -> list[Call]:
        """The first calls."""
        return [call for harvest in self.harvests for call in self._ask(harvest)]

    def harvest_of(self, scope: Scope) -> Harvest | None:
        """The harvest that feeds a scope."""
        return next((each for each in self.harvests if scope in each.listing.scopes), None)

    def _ask(self, harvest: Harvest) -> list[Call]:
        if harvest.asked is None:
            return []
        calls = list(harvest.asked.calls(self._room))
        harvest.parts = [Part(call.keys) for call in calls]
        harvest.left += len(calls)
        self._of_call[harvest.asked] = harvest
        return calls

    def give_up(self, call: Call, why: str) -> None:
        """A call that was not answered."""
        harvest = self._of_call[call.listing]
        if harvest.asked is call.listing:
            harvest.parts[call.part].missing[call.page] = why

    def note(self, outcome: RequestOutcome) -> list[Call]:
        """Put one outcome where it belongs; the calls that it makes necessary."""
        call = outcome.call
        if call is None:
            return []
        harvest = self._of_call[call.listing]
        harvest.left -= 1
        if harvest.asked is not call.listing:
            return []  # asked for anew meanwhile
        part = harvest.parts[call.part]
        more: list[Call] = []
        if outcome.error is not None:
            part.missing[call.page] = str(outcome.error)
            if isinstance(outcome.error, SourceRejected) and call.page == 0:
                more = self._refused(harvest, call, part)
        elif outcome.answer is not None:
            part.pages[call.page] = outcome.answer
            more = self._further(harvest, call, part, outcome)
        elif outcome.total_pages is not None:  # no such page
            part.said = max(part.said, min(outcome.total_pages, part.total))
        harvest.left += len(more)
        return more if harvest.left else more + self._ended(harvest)

    def _further(self, harvest: Harvest, call: Call, part: Part, outcome: RequestOutcome) -> list[Call]:
        """The pages after this one that are not asked for yet."""
        answer = outcome.answer
        if not call.listing.endpoint.listed or not isinstance(answer, Page):
            return []
        rows_wanted = any(scope not in _TOTALS_OF for scope in harvest.listing.scopes) or not harvest.listing.scopes
        if not rows_wanted and beyond_the_page(harvest.rows, answer):
            return []  # the totals are those of all
        total = outcome.total_pages
        part.said, part.elements = max(part.said, total or 0), max(part.elements, outcome.total_elements or 0)
        if total is None:
            # No header to go by: a full page may have a next one, unless it is the last one over again.
            before = part.pages.get(call.page - 1)
            again = isinstance(before, Page) and before.ids == answer.ids
            total = call.page + (2 if len(answer) >= PAGE_SIZE and not again else 1)
        if total > self._max_pages:
            part.cut = f"8x8 has {total} pages; only the first {self._max_pages} are read"
            total = self._max_pages
        further = range(max(part.total, 1), total)
        part.total = max(part.total, total)
        return [replace(call, page=page) for page in further]

    def _refused(self, harvest: Harvest, call: Call, part: Part) -> list[Call]:
        """A refused call: is it the ids? That is looked into once all calls of the listing are in. Or the keys?"""
        doubts = call.listing.doubts()
        if not doubts:
            return self._fewer_keys(harvest, call, part)
        if not harvest.doubting:
            harvest.doubting, harvest.doubts = True, list(doubts)
        return []

    def _fewer_keys(self, harvest: Harvest, call: Call, part: Part) -> list[Call]:
        """The same call without the keys that are not in the catalogue, once."""
        if part.refused:  # it was not the keys
            part.keys, part.refused = (*part.keys, *part.refused), ()
            return []
        strange = tuple(key for key in call.keys if not _in_catalogue(harvest.listing.scopes, key))
        if not strange or len(strange) == len(call.keys):
            return []
        part.refused, part.keys = strange, tuple(key for key in call.keys if key not in strange)
        del part.missing[call.page]
        return [replace(call, keys=part.keys)]

    def _ended(self, harvest: Harvest) -> list[Call]:
        """All calls of a listing are answered."""
        listing = harvest.listing
        path = listing.endpoint.path
        self.refused_keys += [(path, key) for part in harvest.parts if part.pages for key in part.refused]
        if harvest.ended_well and listing.whole and listing.endpoint.listed:
            names, groups = harvest.names(), harvest.groups()
            # With metrics the agents may or may not name their groups; a summary does, as far as 8x8 knows.
            if listing.endpoint is not AGENTS or not listing.keys or len(groups) == len(names):
                self._names.learn(listing.endpoint, names, groups)
        if listing in self._summaries:
            return [call for each in self._waiting.pop(listing, []) for call in self._doubt(each)]
        return self._doubt(harvest)

    def _doubt(self, harvest: Harvest) -> list[Call]:
        """Look into the next doubt: ask for its summary, or, where that is here, for what is left without its ids."""
        while harvest.doubts:
            doubt = harvest.doubts[0]
            summary = self._summaries.get(doubt.summary)
            if summary is None:
                same = (each for each in self.harvests if each.listing == doubt.summary)
                summary = next(same, None) or Harvest(doubt.summary, doubt.summary)
                self._summaries[doubt.summary] = summary
                if not summary.parts:
                    self._waiting[doubt.summary] = [harvest]
                    return self._ask(summary)
            if summary.left:
                self._waiting.setdefault(doubt.summary, []).append(harvest)
                return []
            harvest.doubts.pop(0)
            if not summary.ended_well:
                return []  # nobody can tell: the refusal stands
            known = summary.names()
            unknown = [each for each in doubt.ids if each not in known]
            if unknown:
                self.unknown_ids += [(doubt.summary.path, each) for each in unknown]
                harvest.doubts.clear()
                harvest.asked = harvest.listing.without(set(unknown))
                harvest.parts = []
                return self._ask(harvest)
            if not harvest.doubts and harvest.asked is not None:
                return self._retried(harvest)
        return []

    def _retried(self, harvest: Harvest) -> list[Call]:
        """The calls of a listing whose ids are all known, without strange keys."""
        assert harvest.asked is not None
        calls = [Call(harvest.asked, number, part.keys) for number, part in enumerate(harvest.parts)]
        found = []
        for call, part in zip(calls, harvest.parts, strict=True):
            if call.page in part.missing:
                found += self._fewer_keys(harvest, call, part)
        harvest.left += len(found)
        return found


def _without(listing: Listing, avoid: Set[Found]) -> Listing | None:
    """The listing without what 8x8 is known not to know; None where nothing is left."""
    strangers = {each for doubt in listing.doubts() for each in doubt.ids if (doubt.summary.path, each) in avoid}
    strange = {key for key in listing.keys if (listing.endpoint.path, key) in avoid}
    left = listing.without(strangers) if strangers else listing
    return replace(left, keys=left.keys - strange) if left and strange else left


def _in_catalogue(scopes: tuple[Scope, ...], key: str) -> bool:
    known = catalogue().metrics
    metrics = [known[_TOTALS_OF.get(scope, scope)].get(key.removeprefix(TOTAL)) for scope in scopes]
    return not scopes or any(metric is not None and metric.confirmed for metric in metrics)
