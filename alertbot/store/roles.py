"""What the parts of alertbot need of the database: one small protocol per role; `Store` is all of them.

A part asks for the smallest role that it needs. These protocols own the docstrings: implementations do not repeat
them. Each method is one transaction, and raises StoreError when the database cannot be read or written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Protocol

from alertbot.alerts.alert import Alert, Fingerprint, Outcome
from alertbot.alerts.audit import AuditFinding
from alertbot.alerts.cards import Card, Posted
from alertbot.alerts.delivery import Capacity, Claimed, Due, EditCard, HeldBack, PostPicture, Tried
from alertbot.alerts.fallback import FallbackPost, NewPost
from alertbot.alerts.grouping import Groups
from alertbot.alerts.notice import Notice
from alertbot.alerts.quality import Quality
from alertbot.alerts.silence import Matcher, Silence
from alertbot.alerts.unseen import Unseen
from alertbot.evaluation.snapshot import Snapshot, SnapshotHead
from alertbot.evaluation.usual import QuarterHour
from alertbot.feed.health import Feed
from alertbot.rules.catalogue import Scope
from alertbot.rules.privacy import Names
from alertbot.rules.rule import Level
from alertbot.store.records import (
    LedgerEntry,
    Owned,
    Owner,
    PollRecord,
    PossibleDuplicate,
    PostedNotice,
    Recorded,
    RecordedPoll,
    RunningRules,
    Service,
    Totals,
)


class Recording(Protocol):
    """The recorded polls, for windows, charts and replay."""

    def polls(
        self,
        tenant: str,
        since: datetime,
        until: datetime,
        keys: Mapping[Scope, frozenset[str]] | None = None,
    ) -> Iterator[RecordedPoll]:
        """The recorded polls from `since` to `until`, both included, in the order of time, as far as they are kept.

        `keys`: only these scopes and keys; a key that was not recorded has no column. StoreError comes while iterating.
        """

    def values(
        self, tenant: str, entity: Fingerprint, key: str, since: datetime, until: datetime
    ) -> Iterator[tuple[datetime, float | None]]:
        """One metric key of one entity in the recorded polls from `since` to `until`, both included, as `polls`.

        The rule of the fingerprint does not matter, nor does its parent if it is "". None if a poll has no value of it,
        and for text. Much cheaper than `polls`: values of other entities are not read. Raises StoreError while
        iterating.
        """


class UsualMeans(Protocol):
    """The means of quarter-hours, for `usual`."""

    def means(
        self, tenant: str, keys: Mapping[Scope, Collection[str]], at: Collection[datetime]
    ) -> Iterable[QuarterHour]:
        """The means of these keys in the quarter-hours that begin at these times, as far as they are kept.

        Of a key and entity that is there twice in one quarter-hour, the last one is valid.
        """

    def filled(self, tenant: str) -> Mapping[tuple[Scope, str], datetime]:
        """Up to when the means of each key are calculated; a key without means is absent."""

    def fill(
        self, tenant: str, quarter_hours: Sequence[QuarterHour], filled: Mapping[tuple[Scope, str], datetime]
    ) -> None:
        """Keep means that were calculated from the recording, and up to when that was done."""


class Feeds(Protocol):
    """How polls go, and what is open."""

    def feed(self, tenant: str) -> Feed:
        """How this tenant's polls go; an empty Feed before the first."""

    def alerts(self, tenant: str | None = None) -> list[Alert]:
        """Alerts that have not ended (pending, firing, recovering), by id; of one tenant or of all."""


class AgentNames(Protocol):
    """How output shows the names of agents.

    Alerts, silences and what is due come out of the store with the name that is shown beside the full one, which is
    what the store keeps.
    """

    def names(self) -> Names:
        """The names to show, by all agents that any poll has seen until now."""

    @property
    def last_names(self) -> Names:
        """`names` as they were last read, without reading them again."""


class History(Protocol):
    """What has ended."""

    def ended(self, since: datetime, limit: int = 100) -> list[Alert]:
        """Alerts that ended at or after `since`, the last one first; not pending ones that a user closed."""

    def all_ended(self, since: datetime) -> Iterator[Alert]:
        """The same without a limit, read in pages: few of them are in memory at a time.

        What ends meanwhile may be left out. Raises StoreError while iterating.
        """

    def quality(self, since: datetime, until: datetime, longest: Mapping[str, timedelta]) -> Quality:
        """The quality of the alerts that fired from `since` until `until` (excluded), and when there was no data.

        `longest`: by tenant, how far apart two polls may be before there is no data between them. Reads no more than
        what is in the window and what is open, in a fixed number of statements.
        """


class People(Protocol):
    """The names of users who acknowledge, silence and close alerts."""

    def people(self) -> Mapping[str, str]:
        """All known names, by Slack id."""

    def note_name(self, user: str, name: str) -> None:
        """Store the name of a user. Writes nothing if it is unchanged."""


class Running(Protocol):
    """The rules that run."""

    def running(self, tenant: str) -> RunningRules | None:
        """The rules that the poller runs for this tenant, or ran when it last did; None before the first."""

    def running_versions(self) -> Mapping[str, tuple[str, datetime]]:
        """Which version of the rules runs (or last ran) and since when, by tenant: `running` without the files."""


class Silences(Protocol):
    """What is silenced, and what time changes of it."""

    def silences(self) -> tuple[Silence, ...]:
        """Those that have not ended, by id; some may not have begun."""

    def announce_silences(self, now: datetime) -> int:
        """Announce what time brought about: a silence starts, ends soon, or has ended. The number of such events.

        Each is announced once, whatever process asks: its notices and what was announced are one transaction. A
        silence that has ended is not read again.
        """


class Notices(Protocol):
    """What alertbot reports about itself."""

    def add_notices(self, notices: Sequence[Notice]) -> None:
        """Add OPS notices (or lines) outside a poll. The same id twice is one notice."""


class Health(Feeds, Protocol):
    """What `/readyz` asks."""

    def overdue_since(self, now: datetime) -> datetime | None:
        """Since when the message that is due for the longest time waits; None when none waits.

        Time in which a message only waited for its turn in a channel (one a second, and `max_messages` a minute) is not
        counted. Edits are not messages, and a line waits only once its card is posted.
        """

    def held_back(self, now: datetime) -> Sequence[HeldBack]:
        """What waits because its channel got `max_messages` within the last minute, by channel."""

    def check_writable(self, within: float = 0.5) -> None:
        """Write something, unless others of this process do meanwhile.

        Raises StoreError that says why nothing could be written in `within` seconds.
        """

    def check_complete(self) -> None:
        """Raises StoreError where a copy of another database to this one was interrupted."""


class Polls(Recording, UsualMeans, Feeds, Silences, AgentNames, Protocol):
    """What one turn of one tenant reads and writes."""

    def cards(self, tenant: str) -> Mapping[Fingerprint, frozenset[str]]:
        """The channels, as configured, that have a card (posted, or to be posted) of an alert that has not ended.

        The message of an escalation is none.
        """

    def rises(self, tenant: str, since: datetime) -> Mapping[Fingerprint, tuple[datetime, ...]]:
        """When alerts that ended at or after `since` rose to firing; of one fingerprint, those of the last one."""

    def groups(self, tenant: str) -> Groups:
        """The open cards that alerts may join (posted, or to be posted), with their members that have not ended."""

    def latched(self, tenant: str) -> Mapping[Fingerprint, int]:
        """What was closed by hand and is latched since (alerts/latch.py).

        By fingerprint, the complete polls in a row that did not have the entity.
        """

    def revision(self, tenant: str) -> int:
        """A number that is raised by every write that a poll of this tenant has to know of.

        Those are the writes that change `alerts`, `cards`, `groups`, `silences` or `latched`: another poll, a user's
        change, a card that is given up or goes elsewhere. A delivery that succeeds is none. What was read at one
        revision is as good as read now while the revision is the same: see open_alerts.py.
        """

    def record(self, record: PollRecord) -> Recorded:
        """Write one poll's feed, changes, notices and snapshots in one transaction, before anything is sent.

        Raises Conflict, and writes nothing, if the tenant's revision is not the one that the poll was decided on;
        NotOwner if it was decided as an owner who is no longer the owner.

        New alerts get their ids. A pending alert that becomes inactive is deleted; an ended one is kept as history.
        A CARD notice makes its card row; each change makes the alert's cards due for an edit: at once when it moved or
        has a reason, else at most once in `record.refresh`; one that touched only `seen_at` or `missed`, which no card
        shows, makes none. A poll never overwrites who acknowledged. The same notice id twice is one notice.

        A CARD notice with the group of an escalation always makes a card of its own, which is edited only when its
        alert moves or ends, or when its owner changes; no line goes to its thread.

        The means in `record.quarter_hours` are kept, as long as the store keeps means; a key whose recording was in its
        means until then is now filled until the end of the quarter-hour.

        A CARD notice for an alert that already has its card becomes a line in its thread; if that card was given up,
        the card is tried again. A LINE notice without a card to go to is kept as given up, with the reason.

        A notice with a `group` goes to the open card with that key in its channel, which its alert joins, as a line;
        where there is none it makes that card. One with a `lead` that waits has no message of its own: it goes where
        the lead goes and has its fate. Members that change make a card that alerts join due for an edit at once only
        where its level rises or it ends, else once in `record.refresh`.
        """

    def alone(self, tenant: str) -> AbstractContextManager[None]:
        """Keep all other writers waiting while this lasts; what is recorded in it is one transaction.

        For a poll that was overtaken again and again: decided in here, it cannot be. It should be short.
        """


class Outbox(Recording, Notices, Protocol):
    """What delivery reads and writes: what is due, the recorded values that cards show, and what became of it."""

    def due(self, now: datetime, limit: int = 50, *, claimant: str = "", capacity: Capacity | None = None) -> list[Due]:
        """What should be delivered now: critical first, then the oldest; at most one post for each channel.

        With `capacity` also at most one edit for each channel, and no more than can be begun with: in a storm, reading
        what has to wait anyway would take most of the time.

        A line waits until its card is posted; an edit waits until then too. Channels that wait (429, one message a
        second) are left out, and so is what was put off to a later time. What is claimed is left out until it may be
        settled by looking: 20 s after the claim, or 5 s after its claimant ended. Until then a channel in which a claim
        of another than `claimant` is open is left out too.

        A card whose alert ended before it could be posted is still due, once: it is drawn closed, so that nothing is
        lost, and its waiting lines, which would only repeat it, become SHOWN_BY_CARD when it is delivered. Several
        that waited for two minutes are summed up instead, see `sum_up`.
        """

    def next_due(self, now: datetime, *, claimant: str = "") -> datetime | None:
        """When the first of the waiting posts and urgent edits can be tried; None when nothing waits.

        `now` for what is due already. A changed value alone, which waits out its refresh, is not waited for.
        """

    def claim(self, notice_id: str, claimant: str, now: datetime, settled: datetime | None = None) -> Claimed:
        """Claim a notice to post it; send only after DONE. Until `delivered` or `put_off` its outcome is unknown.

        `settled` is the `intent_at` of the earlier claim that was looked for in vain, which this one replaces; any
        other open claim keeps it. NOT_DUE: its channel has to wait, such as for the open claim of another claimant
        there. With three more answers nothing is claimed. HOLD: its channel may get one more message for
        now, and more wait, so `hold_back` has to report that first. UNSEEN: `sum_up` comes first. SUPERSEDED: it has
        waited too long, and lines of its card that are no longer true were dropped, so read again what is due.

        A claim holds whatever becomes of leases. The channel rests for a second from here on, and the message counts:
        the claimant may die right after sending.
        """

    def hold_back(self, channel: str, report: Callable[[HeldBack], Notice], now: datetime) -> None:
        """Add the report of what is held back in a channel, an OPS notice: it is the next message there.

        Does nothing where it was reported, until nothing waits in the channel any more. `report` is called in the
        transaction, and is pure.
        """

    def sum_up(self, channel: str, report: Callable[[Unseen], Notice], now: datetime) -> None:
        """Settle what began and ended unseen in a channel: one OPS notice, the summary, replaces and carries its cards.

        These are cards of alerts that have ended and were never critical, of which nothing was posted, in a channel
        where one of them has waited for two minutes. Does nothing if there is only one, which is posted. A card that
        may have been posted is left until it was looked for. `report` is called in the transaction, and is pure.
        """

    def claimants(self) -> list[str]:
        """Who has claims that are open, and did not say that they gave up, by name."""

    def claimant_ended(self, claimant: str, now: datetime, *, certain: bool = True) -> None:
        """This claimant has ended: its open claims may be settled by searching 5 s from now, and edits made again.

        Not `certain`: it may be alive, so only claims that are older than 10 s, whose calls are over, end like that.
        """

    def delivered(self, notice_id: str, posted: Posted, version: int, now: datetime) -> bool:
        """The post arrived; for a card, it showed `version`. The channel rests for a second.

        False if the notice is known to have another message: `posted` is a duplicate, which was sent by a process that
        another one had given up. Then nothing changes, except that an audit makes sure that it was closed; the
        edit that says so counts among the edits of a minute.
        """

    def claim_edit(self, edit: EditCard, claimant: str, now: datetime) -> Claimed:
        """Claim an edit that begins now; send only after DONE. It holds for 20 s, or until its outcome is known.

        TAKEN: another claimant edits that message. SETTLED: the message shows something else than when `edit` was read,
        or is no longer the card's. NOT_DUE: with what all processes have sent and are sending, Slack's limit could be
        exceeded, or little would be left for what is more urgent. It counts as sent from here on.
        """

    def edited(self, card: Card, now: datetime, *, claimant: str = "") -> None:
        """The message of `card` shows its `version` now; a newer version that came meanwhile stays due.

        A message that is not the card's any more changes nothing, unless it is a former one that is kept: that is
        forgotten when it shows the end. One that shows an older version than another process had sent is due again.
        `claimant`: whose claim of the edit ends with that, here and below.
        """

    def close_in_thread(self, card: Card, now: datetime) -> bool:
        """For an ended card whose message cannot be edited: whether its thread says so.

        Adds a line that says so where there is none; False until one is delivered.
        """

    def forget_former(self, card: Card, *, claimant: str = "") -> None:
        """This former message of the card does not exist any more."""

    def put_off(
        self,
        notice_id: str,
        until: datetime,
        error: str,
        *,
        claimant: str,
        unknown: bool,
        tried: Tried = Tried.POST,
    ) -> None:
        """Try again at `until`. `tried`: what failed.

        The claimant gives up its claim: with `unknown` it stays open, so that the message is looked for before it is
        posted again (`until` leaves it 5 s to appear), else it ends. Another's claim stays as it is.
        """

    def put_off_edit(
        self,
        card_id: int,
        until: datetime,
        error: str,
        *,
        claimant: str = "",
        tried: bool = True,
        sent: bool = True,
        former: Posted | None = None,
    ) -> None:
        """Edit again at `until`; until then the edit is outstanding, with its error.

        `tried` False: it only had to wait, and that is no failure. `sent` False: Slack certainly did not receive it, or
        answered with a 429, so it does not count among the edits of a minute. `former`: the former message that was to
        be edited.
        """

    def give_up(self, notice_id: str, error: str, now: datetime) -> None:
        """This notice cannot be delivered; it is kept, with its error, and not tried again.

        With a card notice its card is given up, and the lines that wait for it.
        """

    def hold_channel(self, channel: str, until: datetime) -> None:
        """Post nothing in this channel before `until` (429, or it does not answer)."""

    def hold_edits(self, until: datetime, channel_id: str = "") -> None:
        """Edit nothing before `until`, or nothing in the channel with this id: Slack counts edits per workspace."""

    def reroute(self, notice_id: str, channel: str, *, claimant: str) -> None:
        """Deliver this notice in another channel; a card notice takes along its card and that card's lines.

        A line cannot exist without its card: rerouting one posts the card again in that channel, and the line follows.
        Claims of these notices end, but for those that another claimant may still be sending.
        """

    def repost(self, card: Card, now: datetime, *, claimant: str, keep: bool = False) -> bool:
        """The message of `card` is gone: post it again, unless its alert has ended. Whether the message was given up.

        `keep`: it is not gone, but its channel does not work. It stays due for edits, as a former message of the card,
        until it shows the end. An ended card, and one that was posted again in this channel before, keep their message.
        Does nothing where the card is elsewhere by now. Claims end as for `reroute`.
        """


class Pictures(Outbox, Feeds, History, Protocol):
    """Pictures in the threads of cards: less urgent than any notice, and posted at most once."""

    def picture_due(self, now: datetime, *, claimant: str = "") -> PostPicture | None:
        """The picture to post next, that of the worst alert first; None while anything else is to be posted.

        One that another claimant is drawing is left out.

        A card that shows one alert of a rule gets one when it is first posted, within ten minutes of the decision. It
        waits while a post of any channel is due or waits for its turn, while its channel rests or got half of
        `max_messages`, and while its alert is muted. It is dropped when its alert ends, or after ten minutes.
        """

    def reserve_picture(self, picture: PostPicture, now: datetime, *, claimant: str) -> bool:
        """Whether this claimant should draw a picture: others leave it alone for a minute, or until it has ended.

        Nothing else waits for that. False where another one draws it, or it is no longer wanted.
        """

    def claim_picture(self, picture: PostPicture, now: datetime) -> Claimed:
        """Claim it for a post that begins now; send only after DONE. From here on it is never due again.

        NOT_DUE: something else is to be posted first. SETTLED: it is no longer wanted, or its card has moved.
        Like a notice it counts as a message of its channel, which rests for a second.
        """

    def picture_posted(self, picture: PostPicture, now: datetime, *, claimant: str = "") -> None:
        """Slack accepted it: the channel rests for another second. `claimant`: who reserved it, here and below."""

    def put_back_picture(self, picture: PostPicture) -> None:
        """It was certainly not posted: it is due again, unless its alert has ended."""

    def drop_picture(self, picture: PostPicture, *, claimant: str = "") -> None:
        """There is nothing to draw: it is no longer due."""


class Fallback(Protocol):
    """What is posted to `slack.fallback_webhook` (alerts/fallback.py)."""

    def decide_fallback(
        self, levels: Collection[Level], after: timedelta, draw: Callable[[NewPost], str], now: datetime
    ) -> tuple[int, int]:
        """Decide, in one transaction, what is posted and what no longer needs to be. Returns the number of each.

        Posted are: alerts of these levels, not yet posted at this level, about which a message has been waiting for
        Slack for `after`; and the ends of alerts that were posted, or may have been. A post that waits, and was
        certainly not received, is dropped when Slack accepted the message or the alert no longer fires. `draw` writes
        the JSON; it is called in the transaction, and is pure. Writes nothing if nothing changes, and decides at most a
        hundred new posts at a time.
        """

    def due_fallback(self, now: datetime, limit: int = 100) -> list[FallbackPost]:
        """The posts that should be sent now; the end of an alert only after all earlier posts about it."""

    def waiting_fallback(self) -> int:
        """How many posts have not been sent."""

    def sent_fallback(self, post_id: str, now: datetime) -> None:
        """The post was received."""

    def put_off_fallback(self, post_id: str, until: datetime, error: str, *, maybe_sent: bool) -> None:
        """Try again at `until`. `maybe_sent`: there was no answer, so it may have been received."""

    def give_up_fallback(self, post_id: str, error: str, now: datetime) -> None:
        """This post is not tried again."""


class Audited(Notices, Protocol):
    """What an audit reads, and how it repairs (alerts/audit.py)."""

    def audit(self, now: datetime) -> list[AuditFinding]:
        """Where the database contradicts itself; what has one right answer is repaired. Otherwise writes nothing."""

    def shown_cards(self, now: datetime) -> list[Card]:
        """The cards that Slack has shown for a minute as they are: open ones, and those that ended within an hour."""

    def outdate(self, card: Card, now: datetime) -> bool:
        """Slack shows something else: make the card due for an edit at once. False if it has changed since."""

    def repost(self, card: Card, now: datetime, *, claimant: str, keep: bool = False) -> bool:
        """As for `Outbox`."""

    def posted_notices(self, ids: Collection[str]) -> Mapping[str, PostedNotice]:
        """What is known of the messages of these notices, by id; those that were never stored here are left out."""

    def possible_duplicates(self, now: datetime) -> list[PossibleDuplicate]:
        """Notices that may have a second message, where an audit should look now: see store/sql/duplicates.py."""

    def forget_possible_duplicates(self, notice_ids: Collection[str]) -> None:
        """It is known by now whether these notices have a second message."""

    def may_close_duplicate(self, now: datetime) -> bool:
        """Whether a message may be edited now, since it is a duplicate. It counts as sent from here on.

        Not while Slack has asked to wait with edits (`hold_edits`), nor beyond its limit of edits a minute.
        """

    def hold_edits(self, until: datetime, channel_id: str = "") -> None:
        """As for `Outbox`."""


class Rules(Running, Notices, Protocol):
    """Which rules run, so that other processes can answer from them, and what is reported of their files."""

    def set_running(self, running: Sequence[RunningRules]) -> None:
        """Store what runs from now on. A version that runs already continues, and keeps its `since`."""


class Questions(Running, Recording, UsualMeans, Health, History, Silences, AgentNames, People, Protocol):
    """What answers read, and the changes that users make."""

    def service(self, now: datetime) -> Service | None:
        """The process that delivers, or was the last to do so; None where there never was one."""

    def alert(self, alert_id: int) -> Alert | None:
        """One alert, ended or not; None for an id that was never assigned."""

    def latched_alerts(self) -> list[Alert]:
        """The alerts that were closed by hand and are latched since, of every tenant, by id."""

    def fired(self, rules: Collection[str], since: datetime) -> Mapping[str, Mapping[str, int]]:
        """How often these rules fired at or after `since`, reported or not: by rule and shown name, most first."""

    def notices_of(self, alert_id: int | None) -> list[LedgerEntry]:
        """Every notice about one alert (None: about none, the ops notices), in the order of the decisions."""

    def feeds(self) -> Mapping[str, Feed]:
        """How the polls go of every tenant that was ever polled, by tenant."""

    def latest(self, tenant: str, scopes: Collection[Scope] | None = None) -> Mapping[Scope, Snapshot]:
        """The last snapshot of each scope; `scopes`: of these alone."""

    def heads(self) -> Mapping[str, Mapping[Scope, SnapshotHead]]:
        """The last snapshots of every tenant without entities and values, by tenant and scope."""

    def totals(self) -> Totals:
        """Counts since the database was made."""

    def acknowledge(self, alert_id: int, by: str, note: str, now: datetime) -> tuple[Outcome, Alert | None]:
        """Acknowledge an open alert; its cards become due for an edit and a thread line, in the same transaction."""

    def acknowledge_card(self, card_id: int, by: str, now: datetime) -> tuple[Outcome, Alert | None]:
        """Acknowledge every alert of a card that has not ended and has no owner, with one line in its thread.

        Returns the first of them; ALREADY where each has an owner.
        """

    def unacknowledge(
        self, alert_id: int, by: str, now: datetime, *, own: bool = False
    ) -> tuple[Outcome, Alert | None]:
        """Take an acknowledgement back. `own`: only that of `by`; OTHER_OWNER if another user has it."""

    def unacknowledge_card(self, card_id: int, by: str, now: datetime) -> tuple[Outcome, Alert | None]:
        """Take back the acknowledgements of `by` on a card, of alerts that have not ended, with one line in its thread.

        Returns the first of them. OTHER_OWNER, with one of those, where all that are acknowledged are other users'.
        """

    def redraw(self, alert_ids: Sequence[int], now: datetime) -> None:
        """Make the cards of these alerts due for an edit, as if a value had moved."""

    def open_members(self, card_id: int) -> list[Alert]:
        """The alerts of a card that have not ended, by id. Empty for a card that does not exist."""

    def resolve(self, alert_id: int, by: str, why: str, now: datetime) -> tuple[Outcome, Alert | None]:
        """Close an alert by hand, pending or open; its cards become due for an edit and a thread line.

        It is latched: a poll begins nothing for its fingerprint until the latch is taken off by `record`.
        """

    def silence(
        self, matcher: Matcher, starts_at: datetime, ends_at: datetime, author: str, reason: str, now: datetime
    ) -> Silence:
        """Make a silence, with an id of the sequence of alerts. One that starts now is announced in the transaction.

        One that repeats another (`Silence.repeats`) is not made: the other is returned, as it is. Slack may deliver a
        command again after a restart.
        """

    def extend(self, silence_id: int, ends_at: datetime, by: str, now: datetime) -> tuple[Outcome, Silence | None]:
        """Let a silence end later. ALREADY: it ends then or later anyway.

        The cards of what it mutes become due for an edit, and it is announced, in the same transaction.
        """

    def unsilence(self, silence_id: int, by: str, now: datetime) -> tuple[Outcome, Silence | None]:
        """End a silence now, and announce that in the same transaction."""


class Leases(Protocol):
    """Who may do what: `tenant:acme` polls that tenant, `delivery` delivers."""

    def take_leases(self, names: Collection[str], owner: str, now: datetime, ttl: timedelta) -> None:
        """Take these leases, or renew them, until `now + ttl`: all of them or none.

        Raises LeaseHeld naming the owner while another's lease of one of these names runs. A lease that has expired
        is taken over, and so is one that expires later than its duration allows: the clock was set back since. Owners
        name themselves; the same name is the same owner.
        """

    def release_leases(self, owner: str) -> None:
        """Give up every lease of this owner; those of others stay. When it was last seen remains known."""


class Owners(Protocol):
    """Which worker polls which tenant; see store/sql/owners.py."""

    def own(self, tenant: str, worker: str, now: datetime) -> Owner:
        """Make this worker the owner of a tenant: from now on, turns of the former owner are refused."""

    def disown(self, tenant: str, number: int) -> None:
        """Own it no longer; nothing if another worker owns it by now."""

    def owned(self) -> Mapping[str, Owned]:
        """Who owns which tenant."""


class Retention(Protocol):
    """What is deleted once it is old enough: ended alerts, and everything that was sent about them."""

    def old_alerts(self, before: datetime) -> int:
        """How many alerts `delete_old` would delete in all. It reads each of them."""

    def delete_old(self, before: datetime, limit: int) -> int:
        """Delete alerts that ended at or before `before`, with their cards and notices. Returns how much was deleted.

        Also deletes old operational messages and silences. At most `limit` of each kind, the oldest first; 0: there are
        no more. Kept are: what still waits to be delivered, with its alert; a member of a card that is open or ended
        later; and an alert that was closed by hand, until its condition has been false.
        """


class Store(Questions, Pictures, Polls, Rules, Outbox, Retention, Leases, Owners, Health, Fallback, Audited, Protocol):
    """All of the database. Only the parts that open and close it, and the tests, need all roles."""

    def tidy(self) -> str:
        """Keep the database small and fast, if it needs help with that; what prevents it, in a sentence, or ""."""

    def close(self) -> None:
        """Close the database. Closing twice is harmless."""
