import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_onnxruntime_is_loaded_with_its_telemetry_off() -> None:
    script = (
        "import os, sys\n"
        "import arenalab.search.embedder.minilm\n"
        "assert 'onnxruntime' in sys.modules\n"
        "print(os.environ['ORT_DISABLE_TELEMETRY'])\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    result = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        timeout=60,
    )
    assert result.stdout.strip() == "1"
    assert "telemetry" not in result.stderr.lower()
