"""Which adapter a provider gets. The one place that knows every wire format."""

from arenalab.fallback.provider_config import ANTHROPIC_VERSIONS, Api, ProviderConfig
from arenalab.fallback.wire.adapter import Adapter
from arenalab.fallback.wire.anthropic import AnthropicAdapter
from arenalab.fallback.wire.gemini import GeminiAdapter
from arenalab.fallback.wire.openai import OpenAiAdapter


def adapter_of(config: ProviderConfig) -> Adapter:
    """Returns the adapter for what a provider speaks."""
    if config.api is Api.ANTHROPIC:
        version = config.api_version or ANTHROPIC_VERSIONS[0]
        return AnthropicAdapter(version, config.max_tokens)
    if config.api is Api.GEMINI:
        return GeminiAdapter()
    return OpenAiAdapter(config.base_url)
