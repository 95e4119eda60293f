"""Opens logs that a NATS cluster replicates; loads what that needs only when it is asked."""

from pathlib import Path
from typing import TYPE_CHECKING

from arenalab.mesh import ConfigError

if TYPE_CHECKING:
    from arenalab.ledger.jetstream import JetStreamLogs


def open_jetstream_logs(
    *,
    servers: tuple[str, ...],
    stream: str,
    replicas: int,
    timeout_s: float,
    credentials: Path | None = None,
    ca: Path | None = None,
    certificate: Path | None = None,
    certificate_key: Path | None = None,
) -> "JetStreamLogs":
    """Connects to the cluster; the fields are those of `JetStreamSettings`.

    Raises:
        ConfigError: A setting is out of range, or the extra `nats` is not installed.
        NotReadyError: No server could be reached in time.
    """
    try:
        from arenalab.ledger.jetstream import JetStreamLogs, JetStreamSettings
    except ModuleNotFoundError as error:
        raise ConfigError(
            "a ledger in NATS needs an extra: pip install 'arenalab[nats]'"
        ) from error
    return JetStreamLogs(
        JetStreamSettings(
            servers=servers,
            stream=stream,
            replicas=replicas,
            timeout_s=timeout_s,
            credentials=credentials,
            ca=ca,
            certificate=certificate,
            certificate_key=certificate_key,
        )
    )
