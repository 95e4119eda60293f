"""API keys: who calls, what of the mesh the call may see, and what it may use."""

from arenalab.gateway.keys.record import ANONYMOUS, KeyRecord, KeyState, KeyTerms, Principal
from arenalab.gateway.keys.ring import KeyRing, Refusal

__all__ = ["ANONYMOUS", "KeyRecord", "KeyRing", "KeyState", "KeyTerms", "Principal", "Refusal"]
