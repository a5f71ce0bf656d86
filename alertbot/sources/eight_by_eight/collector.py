"""Collects the responses of one fetch: which calls are left, what each listing returned, what to do on a refusal."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field, replace
from typing import Final

from alertbot.errors import SourceRejected
from alertbot.rules.catalogue import Scope, catalogue
from alertbot.sources.eight_by_eight.assemble import KeyBatch, beyond_the_page
from alertbot.sources.eight_by_eight.decode import Page
from alertbot.sources.eight_by_eight.names import Names
from alertbot.sources.eight_by_eight.plan import AGENTS, PAGE_SIZE, TOTAL, Call, Listing, SuspectIds
from alertbot.sources.eight_by_eight.request_pool import RequestOutcome

UnknownItem = tuple[str, str]
"""The path of an endpoint, and an id or key that 8x8 does not know there."""
_TOTALS_OF: Final = {Scope.QUEUE_TOTALS: Scope.QUEUE, Scope.AGENT_TOTALS: Scope.AGENT}


@dataclass(slots=True)
class ListingResult:
    """A listing and what it returned. `asked` is the listing as it is now requested, without refused ids."""

    listing: Listing
    asked: Listing | None
    batches: list[KeyBatch] = field(default_factory=list)
    left: int = 0  # calls in flight
    suspects: list[SuspectIds] = field(default_factory=list)  # not checked yet
    checking: bool = False

    @property
    def rows(self) -> Scope:
        """The scope of its rows."""
        return row_scope(self.listing.scopes)

    @property
    def parent(self) -> str:
        """The queue or group of all rows, where it is named in the path."""
        agents = self.rows in (Scope.QUEUE_AGENT, Scope.GROUP_AGENT)
        return self.listing.path_ids[0] if agents and self.listing.path_ids else ""

    @property
    def complete(self) -> bool:
        """Whether every call was answered and nothing is missing."""
        return not self.left and bool(self.batches) and not any(batch.is_incomplete() for batch in self.batches)

    def count(self) -> int:
        """How many ids there are on all pages."""
        return len(
            {
                identity
                for batch in self.batches
                for page in batch.pages.values()
                if isinstance(page, Page)
                for identity in page.ids
            }
        )

    def names(self) -> dict[str, str]:
        """Names by id, from all pages."""
        pages = [page for batch in self.batches for page in batch.pages.values() if isinstance(page, Page)]
        found: dict[str, str] = {}
        for page in pages:
            found.update(zip(page.ids, page.names, strict=True))
        return found

    def groups(self) -> dict[str, tuple[str, str]]:
        """Groups by agent id, from all pages."""
        pages = [page for batch in self.batches for page in batch.pages.values() if isinstance(page, Page)]
        return {agent: group for page in pages for agent, group in page.groups.items()}


def row_scope(scopes: tuple[Scope, ...]) -> Scope:
    """The scope whose keys the rows of a listing have."""
    found = [_TOTALS_OF.get(scope, scope) for scope in scopes] or [Scope.QUEUE]
    return Scope.AGENT if Scope.AGENT in found else found[0]


class Collector:
    """The listings of one fetch, from the first calls to the last response.

    One unknown id fails a whole request. When 8x8 rejects a listing with ids, the collector reads the summary, which
    has every id, and requests the listing once more without the unknown ones. When 8x8 rejects a listing with keys
    that are not in the catalogue, it requests the listing without those. `unknown_ids` and `refused_keys` hold what
    was left out.
    """

    def __init__(
        self,
        listings: Iterable[Listing],
        names: Names,
        *,
        max_pages: int,
        room: int,
        skip: Set[UnknownItem] = frozenset(),
    ) -> None:
        """`skip`: ids and keys that 8x8 did not know in earlier fetches, and that are not tried again yet."""
        self.results = [ListingResult(each, _without(each, skip)) for each in listings]
        self.unknown_ids: list[UnknownItem] = []
        self.refused_keys: list[UnknownItem] = []
        self._names = names
        self._max_pages = max_pages
        self._room = room
        self._of_call: dict[Listing, ListingResult] = {}
        self._summaries: dict[Listing, ListingResult] = {}  # read because a listing was rejected
        self._waiting: dict[Listing, list[ListingResult]] = {}  # for such a summary

    def begin(self) -> list[Call]:
        """The first calls."""
        return [call for result in self.results for call in self._ask(result)]

    def result_for(self, scope: Scope) -> ListingResult | None:
        """The result that a scope is read from, or None."""
        return next((each for each in self.results if scope in each.listing.scopes), None)

    def _ask(self, result: ListingResult) -> list[Call]:
        if result.asked is None:
            return []
        calls = list(result.asked.calls(self._room))
        result.batches = [KeyBatch(call.keys) for call in calls]
        result.left += len(calls)
        self._of_call[result.asked] = result
        return calls

    def give_up(self, call: Call, why: str) -> None:
        """Note that a call got no response, and why."""
        result = self._of_call[call.listing]
        if result.asked is call.listing:
            result.batches[call.batch].missing[call.page] = why

    def note(self, outcome: RequestOutcome) -> list[Call]:
        """Take in one outcome; returns the calls that it makes necessary."""
        call = outcome.call
        if call is None:
            return []
        result = self._of_call[call.listing]
        result.left -= 1
        if result.asked is not call.listing:
            return []  # requested again in the meantime
        batch = result.batches[call.batch]
        more: list[Call] = []
        if outcome.error is not None:
            batch.missing[call.page] = str(outcome.error)
            if isinstance(outcome.error, SourceRejected) and call.page == 0:
                more = self._refused(result, call, batch)
        elif outcome.answer is not None:
            batch.pages[call.page] = outcome.answer
            more = self._further(result, call, batch, outcome)
        elif outcome.total_pages is not None:  # no such page
            batch.reported_pages = max(batch.reported_pages, min(outcome.total_pages, batch.total))
        result.left += len(more)
        return more if result.left else more + self._ended(result)

    def _further(self, result: ListingResult, call: Call, batch: KeyBatch, outcome: RequestOutcome) -> list[Call]:
        """The pages after this one that have not been requested."""
        answer = outcome.answer
        if not call.listing.endpoint.listed or not isinstance(answer, Page):
            return []
        rows_wanted = any(scope not in _TOTALS_OF for scope in result.listing.scopes) or not result.listing.scopes
        if not rows_wanted and beyond_the_page(result.rows, answer):
            return []  # the totals cover all pages
        total = outcome.total_pages
        batch.reported_pages = max(batch.reported_pages, total or 0)
        batch.reported_elements = max(batch.reported_elements, outcome.total_elements or 0)
        if total is None:
            # No header to go by: a full page may be followed by another, unless it repeats the previous one.
            before = batch.pages.get(call.page - 1)
            again = isinstance(before, Page) and before.ids == answer.ids
            total = call.page + (2 if len(answer) >= PAGE_SIZE and not again else 1)
        if total > self._max_pages:
            batch.truncated = f"8x8 has {total} pages; only the first {self._max_pages} are read"
            total = self._max_pages
        further = range(max(batch.total, 1), total)
        batch.total = max(batch.total, total)
        return [replace(call, page=page) for page in further]

    def _refused(self, result: ListingResult, call: Call, batch: KeyBatch) -> list[Call]:
        """A rejected call: check its ids once all calls of the listing are answered, or without ids its keys."""
        suspects = call.listing.suspects()
        if not suspects:
            return self._fewer_keys(result, call, batch)
        if not result.checking:
            result.checking, result.suspects = True, list(suspects)
        return []

    def _fewer_keys(self, result: ListingResult, call: Call, batch: KeyBatch) -> list[Call]:
        """The same call without the keys that are not in the catalogue, once."""
        if batch.refused:  # the keys were not the reason
            batch.keys, batch.refused = (*batch.keys, *batch.refused), ()
            return []
        uncertain = tuple(key for key in call.keys if not _in_catalogue(result.listing.scopes, key))
        if not uncertain or len(uncertain) == len(call.keys):
            return []
        batch.refused, batch.keys = uncertain, tuple(key for key in call.keys if key not in uncertain)
        del batch.missing[call.page]
        return [replace(call, keys=batch.keys)]

    def _ended(self, result: ListingResult) -> list[Call]:
        """All calls of a listing are answered."""
        listing = result.listing
        path = listing.endpoint.path
        self.refused_keys += [(path, key) for batch in result.batches if batch.pages for key in batch.refused]
        if result.complete and listing.whole and listing.endpoint.listed:
            groups = result.groups()
            # With metrics the agents may or may not name their groups; a summary does, as far as 8x8 knows.
            sure = listing.endpoint is not AGENTS or not listing.keys
            if sure or len(groups) == result.count():
                self._names.learn(listing.endpoint, result.names(), groups)
        if listing in self._summaries:
            return [call for each in self._waiting.pop(listing, []) for call in self._check_suspects(each)]
        return self._check_suspects(result)

    def _check_suspects(self, result: ListingResult) -> list[Call]:
        """Check the next suspect ids: request their summary, or, once that is read, the listing without unknown ids."""
        while result.suspects:
            suspect = result.suspects[0]
            summary = self._summaries.get(suspect.summary)
            if summary is None:
                same = (each for each in self.results if each.listing == suspect.summary)
                summary = next(same, None) or ListingResult(suspect.summary, suspect.summary)
                self._summaries[suspect.summary] = summary
                if not summary.batches:
                    self._waiting[suspect.summary] = [result]
                    return self._ask(summary)
            if summary.left:
                self._waiting.setdefault(suspect.summary, []).append(result)
                return []
            result.suspects.pop(0)
            if not summary.complete:
                return []  # no way to know: the listing stays rejected
            known = summary.names()
            unknown = [each for each in suspect.ids if each not in known]
            if unknown:
                self.unknown_ids += [(suspect.summary.path, each) for each in unknown]
                result.suspects.clear()
                result.asked = result.listing.without(set(unknown))
                result.batches = []
                return self._ask(result)
            if not result.suspects and result.asked is not None:
                return self._retried(result)
        return []

    def _retried(self, result: ListingResult) -> list[Call]:
        """The failed calls of a listing whose ids are all known, without keys that are not in the catalogue."""
        assert result.asked is not None
        calls = [Call(result.asked, number, batch.keys) for number, batch in enumerate(result.batches)]
        retries = []
        for call, batch in zip(calls, result.batches, strict=True):
            if call.page in batch.missing:
                retries += self._fewer_keys(result, call, batch)
        result.left += len(retries)
        return retries


def _without(listing: Listing, skip: Set[UnknownItem]) -> Listing | None:
    """The listing without ids and keys that 8x8 does not know; None if nothing is left."""
    unknown_ids = {
        each for suspect in listing.suspects() for each in suspect.ids if (suspect.summary.path, each) in skip
    }
    unknown_keys = {key for key in listing.keys if (listing.endpoint.path, key) in skip}
    left = listing.without(unknown_ids) if unknown_ids else listing
    return replace(left, keys=left.keys - unknown_keys) if left and unknown_keys else left


def _in_catalogue(scopes: tuple[Scope, ...], key: str) -> bool:
    known = catalogue().metrics
    metrics = [known[_TOTALS_OF.get(scope, scope)].get(key.removeprefix(TOTAL)) for scope in scopes]
    return not scopes or any(metric is not None and metric.confirmed for metric in metrics)
