"""A log whose batches and subjects' keys are replicated by NATS JetStream.

Needs the extra `nats`. One stream of several replicas is the write-ahead log: a batch
is acknowledged when a majority of the replicas has it. The directory holds the same
batches as segments, from which everything is read; a machine without one is given all
of it at its start.
"""

from arenalab.ledger.jetstream.settings import JetStreamSettings
from arenalab.ledger.jetstream.storage import JetStreamLogs, JetStreamStorage

__all__ = ["JetStreamLogs", "JetStreamSettings", "JetStreamStorage"]
