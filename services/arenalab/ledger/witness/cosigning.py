"""What a witness decides: it cosigns what continues what it saw, and nothing else."""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus

from arenalab.ledger.witness.state import WitnessState
from arenalab.ledger.witness.submission import SIZE_TYPE, Submission
from arenalab.proof import (
    EMPTY_ROOT,
    Checkpoint,
    Cosigner,
    NoteError,
    ProofError,
    VerifierKey,
    open_checkpoint,
    parse_checkpoint,
    split_note,
    verify_consistency,
)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    status: HTTPStatus
    body: str
    content_type: str = "text/plain; charset=utf-8"


class Witness:
    """Sees the checkpoints of the logs that it knows. May be called from any thread."""

    def __init__(
        self,
        cosigner: Cosigner,
        logs: Iterable[VerifierKey],
        state: WitnessState,
        now_s: Callable[[], int],
    ) -> None:
        """Starts from what the state remembers.

        Args:
            cosigner: Holds the witness's key.
            logs: Keys of the logs that are witnessed; several of one name while it
                rotates them.
            state: Where what was seen is remembered.
            now_s: Seconds since 1970.

        Raises:
            NoteError: What is remembered is damaged.
        """
        self._cosigner = cosigner
        self._state = state
        self._now_s = now_s
        self._keys: dict[str, list[VerifierKey]] = defaultdict(list)
        for key in logs:
            self._keys[key.name].append(key)
        self._last = {
            origin: state.last(origin) or Checkpoint(origin, 0, EMPTY_ROOT) for origin in self._keys
        }
        self._lock = threading.Lock()

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answers a submission with a cosignature, or says why not.

        The statuses are those of c2sp.org/tlog-witness.

        Raises:
            OSError: What was seen could not be remembered; nothing was cosigned.
        """
        try:
            submission = Submission.parse(body)
            text = split_note(submission.note)[0]
            origin = parse_checkpoint(text).origin
        except NoteError as error:
            return Answer(HTTPStatus.BAD_REQUEST, f"{error}\n")
        if origin not in self._keys:
            return Answer(HTTPStatus.NOT_FOUND, "this witness does not know the log\n")
        try:
            checkpoint = open_checkpoint(submission.note, self._keys[origin])
        except NoteError as error:
            return Answer(HTTPStatus.FORBIDDEN, f"{error}\n")
        if submission.old_size > checkpoint.size:
            return Answer(HTTPStatus.BAD_REQUEST, "the old size is above the checkpoint's\n")
        with self._lock:  # a size that was checked must be the one that is replaced
            return self._judge(submission, checkpoint, text)

    def _judge(self, submission: Submission, checkpoint: Checkpoint, text: str) -> Answer:
        last = self._last[checkpoint.origin]
        if submission.old_size != last.size:
            return Answer(HTTPStatus.CONFLICT, f"{last.size}\n", SIZE_TYPE)
        if checkpoint.size == last.size and checkpoint.root != last.root:
            path = self._state.keep_fork(checkpoint.origin, submission.note)
            _logger.error(
                "%s signed two trees of %d leaves; the second is kept in %s",
                checkpoint.origin,
                checkpoint.size,
                path.name,
            )
            return Answer(HTTPStatus.CONFLICT, f"{last.size}\n", SIZE_TYPE)
        try:
            _check_continues(last, checkpoint, submission)
        except ProofError as error:
            # Not said to be a fork: anybody may send a true checkpoint with a false proof.
            _logger.warning("%s at %d leaves: %s", checkpoint.origin, checkpoint.size, error)
            return Answer(HTTPStatus.UNPROCESSABLE_ENTITY, f"{error}\n")
        if checkpoint != last:
            self._state.record(checkpoint.origin, submission.note)
            self._last[checkpoint.origin] = checkpoint
        return Answer(HTTPStatus.OK, self._cosigner.cosign(text, self._now_s()))


def _check_continues(last: Checkpoint, new: Checkpoint, submission: Submission) -> None:
    if last.size in {0, new.size}:
        if submission.path:
            raise ProofError("there is nothing to prove from this size")
        return
    verify_consistency(last.size, new.size, last.root, new.root, submission.path)
