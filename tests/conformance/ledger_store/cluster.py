"""A NATS cluster of three real servers on loopback."""

import http.client
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

START_S = 60.0  # a slow machine, and an election of up to nine seconds


@dataclass
class Node:
    """One server; the ports stay its own over restarts."""

    name: str
    directory: Path
    client_port: int
    cluster_port: int
    http_port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.client_port}"


def server_binary() -> str | None:
    """Returns where the server is, if it is."""
    beside = Path(sys.executable).with_name("nats-server")
    return str(beside) if beside.exists() else shutil.which("nats-server")


class Cluster:
    """Three servers with JetStream, or as many as there should be, with other options."""

    def __init__(self, directory: Path, binary: str, size: int = 3, options: str = "") -> None:
        self._binary = binary
        self._options = options
        ports = iter(free_ports(3 * size))
        self.nodes = [
            Node(f"n{number}", directory / f"n{number}", next(ports), next(ports), next(ports))
            for number in range(size)
        ]
        for node in self.nodes:
            node.directory.mkdir(parents=True)
            (node.directory / "nats.conf").write_text(self._config(node))

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(node.url for node in self.nodes)

    def start(self) -> None:
        """Starts what is not running and waits until all are in the cluster."""
        for node in self.nodes:
            self.start_node(node)
        deadline = time.monotonic() + START_S
        for node in self.nodes:
            while not is_healthy(node):
                assert node.process is not None
                assert node.process.poll() is None, (node.directory / "log").read_text()
                assert time.monotonic() < deadline, (node.directory / "log").read_text()
                time.sleep(0.05)

    def start_node(self, node: Node) -> None:
        if node.process is not None:
            return
        with (node.directory / "log").open("ab") as log:
            command = [self._binary, "-c", str(node.directory / "nats.conf")]
            node.process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - its own wheel's

    def kill(self, node: Node) -> None:
        """Ends a server with SIGKILL."""
        assert node.process is not None
        node.process.kill()
        node.process.wait()
        node.process = None

    def stop(self) -> None:
        for node in self.nodes:
            if node.process is not None:
                self.kill(node)

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def _config(self, node: Node) -> str:
        listen = f"listen: 127.0.0.1:{node.client_port}, http: 127.0.0.1:{node.http_port}"
        if self._options:
            return f"{listen}\n{self._options}"
        routes = ", ".join(f"nats://127.0.0.1:{other.cluster_port}" for other in self.nodes)
        return f"""
            server_name: {node.name}
            {listen}
            jetstream {{ store_dir: "{node.directory / "js"}", max_file: 4G, max_mem: 64M }}
            cluster {{ name: test, listen: 127.0.0.1:{node.cluster_port}, routes: [{routes}] }}
        """


def free_ports(count: int) -> list[int]:
    """Returns ports that nothing listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def is_healthy(node: Node) -> bool:
    """Whether a server is in the cluster, with every stream of its own up to date."""
    connection = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().read() == b'{"status":"ok"}'
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
