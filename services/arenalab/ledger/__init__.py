"""Ledger: what was said, sealed so that it cannot be changed unseen."""
