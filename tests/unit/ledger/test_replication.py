"""Without the extra, a ledger in NATS says which one is missing."""

import subprocess
import sys

WITHOUT = """
import sys
sys.modules["nats"] = None
from arenalab.ledger.replication import open_jetstream_logs
from arenalab.mesh import ConfigError
try:
    open_jetstream_logs(servers=("nats://127.0.0.1:1",), stream="L", replicas=3, timeout_s=1.0)
except ConfigError as error:
    print(error)
"""


def test_a_missing_extra_is_named() -> None:
    command = [sys.executable, "-c", WITHOUT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own
    assert "arenalab[nats]" in done.stdout
