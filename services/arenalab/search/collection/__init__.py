"""Collections in memory: segments, snapshots, and what changes and improves them."""
