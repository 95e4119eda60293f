"""The real Envoy reads the configuration that the compose file mounts."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "deploy/envoy/envoy.yaml"
ENVOY = Path(sys.executable).parent / "envoy"


def _validate(config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - the binary of a pinned package
        [str(ENVOY), "--mode", "validate", "-c", str(config), "--log-level", "error"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.slow
def test_envoy_accepts_the_configuration() -> None:
    result = _validate(CONFIG)
    assert result.returncode == 0, result.stderr
    assert "OK" in result.stdout + result.stderr


@pytest.mark.slow
def test_envoy_refuses_a_misspelt_field(tmp_path: Path) -> None:
    broken = tmp_path / "envoy.yaml"
    broken.write_text(CONFIG.read_text().replace("lb_endpoints", "lb_endpoint", 1))
    assert _validate(broken).returncode != 0


def test_every_cluster_is_a_service_of_the_compose_file_on_its_port() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    clusters = yaml.safe_load(CONFIG.read_text())["static_resources"]["clusters"]
    for cluster in clusters:
        name = cluster["name"]
        place = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        socket = place["address"]["socket_address"]
        assert socket["address"] == name
        environment = compose[name]["environment"]
        port = (
            environment.get(f"{name.upper()}_PORT")
            or environment[f"{name.upper()}_ADDRESS"].rpartition(":")[2]
        )
        assert int(port) == socket["port_value"]
