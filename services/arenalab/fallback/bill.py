"""What one request to a provider costs: reckoned beforehand, set aside, and settled.

A request that the provider refuses, or that never reaches it, costs nothing. One that ends
before its answer is whole (a timeout, a caller who leaves, a race that is lost) has been
worked on, and providers bill for that, but do not say what: it is reckoned as its prompt
and the text that came.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from arenalab.fallback.chunks import Usage
from arenalab.fallback.prices import Price
from arenalab.fallback.prices import Usage as Priced
from arenalab.fallback.purse import Purse
from arenalab.fallback.spending import Reservation

# Bytes of UTF-8 in a token. English has about 4.2, code 3.3, and a Chinese character is 3
# and rarely more than one token: the count is rather too high than too low, and needs no
# vocabulary.
BYTES_PER_TOKEN: Final = 3
# A picture of 1024 by 1024 at high detail has 765 tokens with GPT-4o, and up to 1,600 with
# Claude; a picture's bytes, which may be in the request, say nothing of that.
_PER_ATTACHMENT: Final = 1_600
_ATTACHMENTS: Final = ("image_url", "input_audio", "file")


def prompt_tokens(messages: Sequence[Mapping[str, Any]], fields: Mapping[str, Any]) -> int:
    """Returns about how many tokens a prompt has: the messages, and tools among the fields."""
    # Names count too: they stand for what a format puts around each message.
    count = sum(_tokens_of(message) for message in messages)
    return count + sum(
        _tokens_of(fields[name]) for name in ("tools", "response_format") if fields.get(name)
    )


def _tokens_of(value: Any) -> int:
    """Returns the tokens of the strings in a JSON value."""
    count = 0
    left = [value]  # not by recursion: a caller's JSON may be nested as deeply as it likes
    while left:
        item = left.pop()
        if isinstance(item, str):
            count += -(-len(item.encode(errors="replace")) // BYTES_PER_TOKEN)
        elif isinstance(item, Mapping):
            if item.get("type") in _ATTACHMENTS:
                count += _PER_ATTACHMENT
            else:
                left += [*item, *item.values()]
        elif isinstance(item, list | tuple):
            left += item
        else:
            count += 1
    return count


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a call is expected to be."""

    prompt_tokens: int
    completion_tokens: int

    def cost_usd_micros(self, price: Price | None) -> int | None:
        """Returns what the call is expected to cost; None when its price is not known."""
        if price is None:
            return None
        return price.cost_usd_micros(Priced(self.prompt_tokens, self.completion_tokens))


class Bill:
    """The bill of one request."""

    def __init__(
        self,
        *,
        price: Price | None,
        prompt_tokens: int,
        purse: Purse,
        reservation: Reservation | None,
    ) -> None:
        """Opens a bill.

        Args:
            price: Of the model; None: not known.
            prompt_tokens: That the prompt is expected to have.
            purse: Where the money comes from.
            reservation: What was set aside; None when the caller's own key pays.
        """
        self._price = price
        self._prompt_tokens = prompt_tokens
        self._purse = purse
        self._reservation = reservation
        self._usage = Usage()
        self._said_bytes = 0
        self.cost_usd_micros: int | None = 0  # None: not known

    @property
    def usage(self) -> Usage:
        """What the provider has counted so far."""
        return self._usage

    def counted(self, usage: Usage, said_bytes: int) -> None:
        """Records what the provider counted, and how much text it sent."""
        self._usage = usage
        self._said_bytes = said_bytes

    def settle_nothing(self) -> None:
        """Closes the bill of a request that the provider did not work on."""
        self._settle(0, 0)

    def settle_whole(self) -> None:
        """Closes the bill of a whole answer; where nobody counted, its cost is not known."""
        is_counted = bool(self._usage.prompt_tokens or self._usage.completion_tokens)
        reckoned = self._reckoned()
        self._settle(reckoned if is_counted else None, reckoned)

    def settle_cut(self) -> None:
        """Closes the bill of a request that was worked on and did not end."""
        reckoned = self._reckoned()
        self._settle(reckoned, reckoned)

    def _reckoned(self) -> int | None:
        if self._price is None:
            return None
        said = -(-self._said_bytes // BYTES_PER_TOKEN)
        usage = Priced(
            self._usage.prompt_tokens or self._prompt_tokens,
            self._usage.completion_tokens or said,
            self._usage.cached_prompt_tokens,
        )
        return self._price.cost_usd_micros(usage)

    def _settle(self, cost: int | None, spent: int | None) -> None:
        self.cost_usd_micros = cost
        if self._reservation is not None:
            self._purse.settle(self._reservation, spent or 0)


def sum_of(costs: Sequence[int | None]) -> int | None:
    """Returns what several requests cost; None when that of one is not known."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None
