"""Sends many bodies through the gateway's parsers: `python -m tests.fuzz --bodies 100000`."""

import argparse
import time
from collections import Counter

from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.bodies import bodies, read

SHOWN = 16


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--bodies", type=int, default=100_000)
    wanted = parser.parse_args().bodies
    outcomes: Counter[tuple[str, str]] = Counter()

    @settings(
        max_examples=wanted,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(bodies())
    def go(case: tuple[str, bytes]) -> None:
        endpoint, body = case
        outcomes[endpoint, read(endpoint, body)] += 1

    began_s = time.perf_counter()
    go()
    took_s = time.perf_counter() - began_s
    print(f"{outcomes.total()} bodies in {took_s:.0f} s, none of them unforeseen")
    for (endpoint, outcome), count in outcomes.most_common(SHOWN):
        print(f"{count:>9}  {endpoint:<12} {outcome}")


if __name__ == "__main__":
    main()
