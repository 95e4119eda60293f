"""The logs that one service keeps, each with the thread that writes it.

A scope's entries go to the log of its shard and of the period. When a period ends, the
next entry opens the log of the new one: the old log's last leaf names the new log, the
new log's first leaf the old one's final checkpoint. Logs of ended periods stay open
for reading.
"""

import json
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from arenalab.atomic import JSON
from arenalab.ledger.committer import Committer
from arenalab.ledger.division import Division, LogName
from arenalab.ledger.entry import checked_entry
from arenalab.ledger.erasure import Erased, erase
from arenalab.ledger.high_water import NAME as HIGH_WATER
from arenalab.ledger.log import Log
from arenalab.ledger.subjects import SubjectKeys
from arenalab.mesh import BudgetSpentError, NotFoundError, Reason
from arenalab.proof import NoteError, open_note

_logger = logging.getLogger(__name__)

OpenLog = Callable[[LogName, SubjectKeys], Log]


@dataclass(frozen=True, slots=True)
class OpenedLog:
    """A log and the only caller of its `commit`."""

    name: LogName
    log: Log
    committer: Committer


class Ledger:
    """Every log, by shard and period. Any thread may call."""

    def __init__(
        self,
        root: Path,
        base: str,
        division: Division,
        *,
        open_log: OpenLog,
        open_subjects: Callable[[LogName], SubjectKeys],
        start_committer: Callable[[Log], Committer],
        now_ns: Callable[[], int],
        max_logs: int,
        kept_elsewhere: Sequence[LogName] = (),
        close_storage: Callable[[], None] = lambda: None,
    ) -> None:
        """Opens every log that is there.

        Args:
            root: Directory of all logs.
            base: Origin that every log's begins with.
            division: Which log takes an entry.
            open_log: Opens or makes one.
            open_subjects: Opens or makes the subjects' keys of a log's shard.
            start_committer: Starts the thread that writes a log.
            now_ns: The clock that periods go by.
            max_logs: How many may be open; more scopes or periods are refused.
            kept_elsewhere: Logs that are there, and may have no directory here yet.
            close_storage: Is called once everything is closed.

        Raises:
            MeshError: What opening a log raises.
        """
        self._root = root
        self._base = base
        self._division = division
        self._open_log = open_log
        self._open_subjects = open_subjects
        self._start_committer = start_committer
        self._now_ns = now_ns
        self._max_logs = max_logs
        self._close_storage = close_storage
        self._lock = threading.Lock()
        self._subjects: dict[str, SubjectKeys] = {}  # by shard
        self._logs: dict[str, OpenedLog] = {}  # by origin
        self._current: dict[str, OpenedLog] = {}  # by shard
        try:
            for name in self._names(kept_elsewhere):
                self._open_in_turn(name)
            for opened in self._current.values():
                _seal_rotation(opened)
        except BaseException:
            self.close()
            raise

    def _names(self, kept_elsewhere: Sequence[LogName]) -> list[LogName]:
        """Returns the logs that are there, oldest period first."""
        marks = self._root.rglob(HIGH_WATER) if self._root.exists() else iter(())
        names = {LogName.of_path(mark.parent.relative_to(self._root).parts) for mark in marks}
        return sorted(names | set(kept_elsewhere), key=lambda name: (name.period, name.shard))

    def current_if_open(self, tenant: str) -> OpenedLog | None:
        """Returns the log that takes a scope's entries now, if nothing need be opened."""
        found = self._current.get(self._division.shard_of(tenant))
        # A clock that was set back must not reopen a period that ended.
        is_of_now = found is not None and (
            found.name.period >= self._division.period_at(self._now_ns())
        )
        return found if is_of_now else None

    def current(self, tenant: str) -> OpenedLog:
        """Returns the log that takes a scope's entries now; opens it if it must.

        Raises:
            BudgetSpentError: OVERLOADED; as many logs are open as may be.
            MeshError: What opening a log raises.
        """
        opened = self.current_if_open(tenant)
        if opened is not None:
            return opened
        with self._lock:
            opened = self.current_if_open(tenant)
            if opened is None:
                shard = self._division.shard_of(tenant)
                older = self._current.get(shard)
                opened = self._open(LogName(shard, self._division.period_at(self._now_ns())))
                if older is not None:
                    _succeed(older, opened)
            return opened

    def _open(self, name: LogName) -> OpenedLog:
        origin = name.origin(self._base)
        if origin in self._logs:
            return self._logs[origin]
        if len(self._logs) >= self._max_logs:
            raise BudgetSpentError(f"{len(self._logs)} logs are open already", queue="logs")
        if name.shard not in self._subjects:
            name.shard_directory(self._root).mkdir(parents=True, exist_ok=True)
            self._subjects[name.shard] = self._open_subjects(name)
        log = self._open_log(name, self._subjects[name.shard])
        opened = OpenedLog(name, log, self._start_committer(log))
        self._logs[origin] = opened
        self._current[name.shard] = opened
        return opened

    def _open_in_turn(self, name: LogName) -> None:
        """Opens a log at the start; says whom it follows if a crash left that unsaid."""
        older = self._current.get(name.shard)
        opened = self._open(name)
        if older is not None and not opened.log.head.size and opened.log.damage is None:
            _succeed(older, opened)

    def named(self, tenant: str, origin: str) -> OpenedLog:
        """Returns a log by its origin; the scope's current one if that is empty.

        Raises:
            NotFoundError: UNKNOWN_LOG.
            MeshError: As for `current`.
        """
        if not origin:
            return self.current(tenant)
        found = self._logs.get(origin)
        if found is None:
            raise NotFoundError(f"there is no log {origin!r}", Reason.UNKNOWN_LOG, log=origin)
        return found

    def of_scope(self, tenant: str) -> list[OpenedLog]:
        """Returns every log that may have a scope's entries, oldest period first."""
        shard = self._division.shard_of(tenant)
        self.current(tenant)
        found = [opened for opened in self.all() if opened.name.shard == shard]
        return sorted(found, key=lambda opened: opened.name.period)

    def all(self) -> list[OpenedLog]:
        """Returns every log, oldest period first."""
        logs = list(self._logs.values())
        return sorted(logs, key=lambda opened: (opened.name.period, opened.name.shard))

    def is_open(self, opened: OpenedLog) -> bool:
        """Returns whether a log takes entries."""
        return self._current.get(opened.name.shard) is opened

    def erase(self, tenant: str, subject: str) -> Erased:
        """Destroys a subject's key, in all of the scope's logs, and seals that it was.

        Raises:
            NotFoundError: UNKNOWN_LEAF; the subject has no content.
            MeshError: What the log raises.
        """
        logs = [opened.log for opened in self.of_scope(tenant)]
        return erase(logs, self.current(tenant).committer.seal, tenant, subject)

    def close(self) -> None:
        """Seals what waits, and lets go of every log."""
        for opened in self._logs.values():
            opened.committer.close()
            opened.log.close()
        for subjects in self._subjects.values():
            subjects.close()
        self._close_storage()


def _succeed(old: OpenedLog, new: OpenedLog) -> None:
    """Seals in both logs that one follows the other; done again, it changes nothing."""
    _seal_own(old, f"followed-by-{new.name.period}", {"next_log": new.log.origin})
    head = old.log.head
    _seal_own(
        new,
        f"follows-{old.name.period}",
        {
            "previous_checkpoint": head.note,
            "previous_log": old.log.origin,
            "previous_size": head.size,
        },
    )


def _seal_own(opened: OpenedLog, entry_id: str, facts: dict[str, JSON]) -> None:
    opened.committer.seal(
        checked_entry(
            tenant=opened.name.scope,
            entry_id=entry_id,
            kind="succession",
            facts_json=json.dumps(facts),
            content={},
        )
    )


def _seal_rotation(opened: OpenedLog) -> None:
    """Seals that another key signs from here on, if it does."""
    log = opened.log
    if log.damage is not None or not log.head.note:
        return
    current = log.keys.verifier_key
    with suppress(NoteError):
        open_note(log.head.note, [current])
        return  # it signed the newest checkpoint
    _logger.info("the key %s signs %s from now on", current.key_hash.hex(), log.origin)
    keys: list[JSON] = [str(key) for key in log.keys.verifier_keys]
    _seal_own(opened, f"key-{current.key_hash.hex()}", {"public_keys": keys})
