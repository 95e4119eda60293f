"""The messages of a chat request: their text for memory, and what memory cannot take."""

from dataclasses import dataclass
from typing import Any, Final

from arenalab.gateway.body import MAX_DEPTH, depth_of
from arenalab.gateway.errors import bad_request
from arenalab.gateway.fields import Fields, missing, object_at, wrong_type

MAX_MESSAGES: Final = 256
MAX_CONTENT_BYTES: Final = 262_144

_ROLES: Final = ("developer", "system", "user", "assistant", "tool", "function")
_OURS: Final = {"developer": "system", "function": "tool"}
# Parts that are no text, and what each asks of whoever answers.
_FEATURES: Final = {"image_url": "images", "input_audio": "audio", "file": "files"}
_MAY_LACK_CONTENT: Final = ("tool_calls", "function_call", "refusal", "audio")


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn, as text."""

    role: str  # "system", "user", "assistant" or "tool"
    content: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """All turns of a request."""

    messages: tuple[ChatMessage, ...]
    features: tuple[str, ...]  # what memory cannot honour
    is_plain: bool  # nothing is lost when a provider sees `messages` alone


def parse_messages(value: Any) -> Conversation:
    """Reads the `messages` of a request.

    Raises:
        ApiError: 400; `param` names the member that is wrong.
    """
    if value is None:
        raise missing("messages")
    if not isinstance(value, list):
        raise wrong_type("messages", value, list)
    if not value:
        raise bad_request("messages must not be empty", param="messages", code="empty_array")
    if len(value) > MAX_MESSAGES:
        raise bad_request(
            f"messages must have at most {MAX_MESSAGES} items, got {len(value)}",
            param="messages",
            code="array_above_max_length",
        )
    turns = [_Turn(object_at(f"messages[{n}]", item)) for n, item in enumerate(value)]
    # An empty instruction says nothing.
    said = [turn for turn in turns if turn.text or turn.role != "system" or turn.features]
    is_plain = all(turn.is_plain for turn in turns)
    if not said:
        raise bad_request("messages must say something", param="messages")
    if not is_plain and depth_of(value) > MAX_DEPTH:
        raise bad_request(f"messages must be nested at most {MAX_DEPTH} deep", param="messages")
    return Conversation(
        messages=tuple(ChatMessage(turn.role, turn.text) for turn in said),
        features=tuple(dict.fromkeys(feature for turn in turns for feature in turn.features)),
        is_plain=is_plain,
    )


class _Turn:
    """One message of the request."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self.features: list[str] = []
        self.is_plain = True
        role = fields.choice("role", _ROLES)
        if role is None:
            raise missing(fields.at("role"))
        self.role = _OURS.get(role, role)
        self._check_extras(role)
        self.text = self._read_content(role)
        if len(self.text.encode()) > MAX_CONTENT_BYTES:
            raise bad_request(
                f"{fields.at('content')} must have at most {MAX_CONTENT_BYTES} bytes of UTF-8",
                param=fields.at("content"),
                code="string_above_max_length",
            )
        if role == "user" and not self.text.strip() and not self.features:
            raise bad_request(
                f"{fields.at('content')} must not be blank", param=fields.at("content")
            )

    def _check_extras(self, role: str) -> None:
        fields = self._fields
        if role == "tool":
            fields.required_string("tool_call_id")
        elif role == "function":
            fields.required_string("name")
        named = fields.string("name") is not None
        calls = fields.array("tool_calls")
        fields.nested("function_call")
        fields.string("refusal")
        self.is_plain = role not in ("tool", "function") and not named and not calls
        if role == "assistant" and any(fields.get(name) for name in _MAY_LACK_CONTENT):
            self.is_plain = False

    def _read_content(self, role: str) -> str:
        content = self._fields.get("content")
        place = self._fields.at("content")
        if content is None:
            if role == "function" or (
                role == "assistant" and any(self._fields.get(name) for name in _MAY_LACK_CONTENT)
            ):
                return ""
            raise missing(place)
        if isinstance(content, str):
            return content
        if not isinstance(content, list):
            raise wrong_type(place, content, str)
        if not content:
            raise bad_request(f"{place} must not be empty", param=place, code="empty_array")
        parts = [self._read_part(f"{place}[{n}]", part) for n, part in enumerate(content)]
        return "\n".join(part for part in parts if part)

    def _read_part(self, place: str, part: Any) -> str:
        fields = object_at(place, part)
        kind = fields.choice("type", ("text", "refusal", *_FEATURES))
        if kind is None:
            raise missing(fields.at("type"))
        if kind in ("text", "refusal"):
            return fields.required_string(kind)
        if fields.nested(kind) is None:
            raise missing(fields.at(kind))
        self.features.append(_FEATURES[kind])
        self.is_plain = False
        return ""
