"""Minutes or hours at 70% of the capacity, with page, API, scrapes and reloads: nothing grows, and nothing lags.

SOAK_MINUTES is the length, 6 by default. The capacity is measured again and again, processor time is compared with that
of a fixed loop, and latency is judged only if the daemon had a processor: other programs fail no run.
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
"""Largest growth of memory."""
STEADY = 1.2
"""Largest growth of the processor time of a record."""
ALONE = 0.5
"""Seconds of processor time per second, with a backlog, below which the machine is too busy to judge a latency."""


@pytest.mark.long
@pytest.mark.timeout(60 * MINUTES + 900)
def test_nothing_grows(tmp_path: Path, bare_environment: None, capsys: pytest.CaptureFixture[str]) -> None:
    """Memory of both processes, work for a record, and the time from it to its forecast; the lag is 0 at the end."""
    seconds = 60 * MINUTES
    with closing(LongRun(tmp_path)) as run:
        run.start()
        since = run.run(seconds, LOAD) + WARM_UP * seconds
        daemon, page, work = run.memory(since), run.page(since), run.work(since)
        latency, capacity = run.latency(since), run.capacity(since)
        share = min(each for when, each in run.shares if when >= since)
        code = run.finish()
    with capsys.disabled():
        sys.stdout.write(
            f"\n{len(run.samples)} samples, {run.reloads} reloads, {run.requests}; early and late: daemon "
            f"{daemon.early:.1f} and {daemon.late:.1f} MiB, page {page.early:.1f} and {page.late:.1f} MiB, work for a "
            f"record {work.early:.1f} and {work.late:.1f}, capacity {capacity.early:,.0f} and {capacity.late:,.0f} "
            f"records/s, record to commit {latency.early:.3f} and {latency.late:.3f} s"
            f"{'' if share >= ALONE else f' (not judged: the daemon had {share:.2f} of a processor)'}\n"
        )
    assert code == 0
    assert not run.errors
    assert run.reloads >= seconds / RELOAD / 2
    assert len(run.samples) >= seconds / SAMPLE / 2
    refused = run.requests.pop("refused")
    assert all(number > refused for number in run.requests.values())
    assert daemon.growth <= FLAT
    assert page.growth <= FLAT
    assert work.growth <= STEADY
    assert share < ALONE or latency.late <= 1.25 * latency.early + 0.05
