"""The OpenAI-compatible HTTP endpoint: it translates, and keeps no state."""
