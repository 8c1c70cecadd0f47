"""Minutes or hours at 70% of the capacity, with page, API, scrapes and reloads: nothing grows, and nothing lags.

SOAK_MINUTES is the length, 6 by default. Run it on a machine that does nothing else: the capacity is measured first.
"""

import os
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support.long_run import RELOAD, SAMPLE, LongRun

MINUTES = float(os.environ.get("SOAK_MINUTES", "6"))
LOAD = 0.7
"""Share of the capacity."""
WARM_UP = 0.4
"""Share of the time after which memory is steady: histories and replay buffers are full."""
FLAT = 1.01


@pytest.mark.long
@pytest.mark.timeout(60 * MINUTES + 900)
def test_nothing_grows(tmp_path: Path, bare_environment: None, capsys: pytest.CaptureFixture[str]) -> None:
    """Resident memory of both processes, and the time from a record to its forecast; the lag is 0 at the end."""
    seconds = 60 * MINUTES
    with closing(LongRun(tmp_path)) as run:
        run.start()
        run.rate = LOAD * run.capacity(min(30.0, seconds / 6))
        begun = run.samples[-1].when
        run.run(seconds)
        since = begun + WARM_UP * seconds
        daemon = run.thirds([(each.when, each.resident / 2**20) for each in run.samples], since)
        page = run.thirds([(each.when, each.page / 2**20) for each in run.samples], since)
        latency = run.thirds(run.latencies, since)
        code = run.finish()
    with capsys.disabled():
        sys.stdout.write(
            f"\n{run.rate:,.0f} records/s, {len(run.samples)} samples, {run.reloads} reloads, {run.requests}; early "
            f"and late: daemon {daemon[0]:.1f} and {daemon[1]:.1f} MiB, page {page[0]:.1f} and {page[1]:.1f} MiB, "
            f"record to commit {latency[0]:.3f} and {latency[1]:.3f} s\n"
        )
    assert code == 0
    assert not run.errors
    assert run.reloads >= seconds / RELOAD / 2
    assert len(run.samples) >= seconds / SAMPLE / 2
    refused = run.requests.pop("refused")
    assert all(number > refused for number in run.requests.values())
    assert daemon[1] <= FLAT * daemon[0]
    assert page[1] <= FLAT * page[0]
    assert latency[1] <= 1.25 * latency[0] + 0.05
