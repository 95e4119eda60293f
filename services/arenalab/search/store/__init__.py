"""The span store: which spans are served, durable in one SQLite file."""
