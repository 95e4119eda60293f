"""Search: the span store, the embedder and the indexes."""
