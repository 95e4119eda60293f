"""Text to unit vectors: one protocol, the built-in MiniLM and sentence-transformers behind it."""
