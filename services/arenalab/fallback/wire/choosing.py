"""Which adapter a provider gets. The one place that knows every wire format."""

from arenalab.fallback.config import ProviderConfig
from arenalab.fallback.wire.adapter import Adapter
from arenalab.fallback.wire.openai import OpenAiAdapter


def adapter_of(config: ProviderConfig) -> Adapter:
    """Returns the adapter for what a provider speaks."""
    return OpenAiAdapter(config.base_url)
