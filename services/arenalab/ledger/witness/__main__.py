"""Runs a witness: `python -m arenalab.ledger.witness --key FILE --state DIR --log VKEY`."""

import argparse
import logging
import signal
import sys
import threading
import time
from pathlib import Path

from arenalab.ledger.key_files import read_seed
from arenalab.ledger.keys import create_signing_key
from arenalab.ledger.witness.cosigning import Witness
from arenalab.ledger.witness.server import WitnessServer
from arenalab.ledger.witness.state import WitnessState
from arenalab.mesh import MeshError
from arenalab.proof import Cosigner, VerifierKey

_logger = logging.getLogger("arenalab.ledger.witness")


def main() -> None:
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        _serve(options)
    except (MeshError, ValueError, OSError) as error:  # a ProofError is a ValueError
        raise SystemExit(f"the witness cannot run: {error}") from error


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m arenalab.ledger.witness",
        description="Cosigns the checkpoints of logs that only grow.",
    )
    parser.add_argument("--name", default="arenalab.local/witness", help="the witness's name")
    parser.add_argument("--key", type=Path, required=True, help="its seed; made if it is not there")
    parser.add_argument("--state", type=Path, required=True, help="where it remembers what it saw")
    parser.add_argument(
        "--log", action="append", required=True, help="verifier key of a log; may be repeated"
    )
    parser.add_argument("--address", default="127.0.0.1:8090", help="host:port; port 0: a free one")
    return parser.parse_args()


def _serve(options: argparse.Namespace) -> None:
    if not options.key.exists():
        create_signing_key(options.key)
    cosigner = Cosigner(options.name, read_seed(options.key))
    state = WitnessState(options.state)
    logs = [VerifierKey.parse(key) for key in options.log]
    witness = Witness(cosigner, logs, state, lambda: int(time.time()))
    host, _, port = options.address.rpartition(":")
    with WitnessServer(host, int(port), witness) as server:
        # Whoever starts it needs both, to configure the log.
        sys.stdout.write(f"http://{host}:{server.server_port} {cosigner.witness_key}\n")
        sys.stdout.flush()
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        stop.wait()
        server.shutdown()
        serving.join()
    state.close()


if __name__ == "__main__":
    main()
