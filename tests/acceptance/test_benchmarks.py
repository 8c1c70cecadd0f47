"""Every benchmark starts on a small input and prints a figure."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.fork_server import PATH, ForkServer

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[2]
WITHOUT_FIGURES = {"__init__", "workload", "over_kafka", "in_process", "pass_through", "results", "example_pictures"}
RUN = "import runpy, sys; runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
ARGUMENTS: dict[str, list[str]] = {
    "ablate": ["--only", "nothing,learning", "--rows", "60"],
    "same_origins": ["{folder}/small.csv", "--origins=2", "--methods", "streamrnn", "River HoltWinters"],
    "bench": [
        "--series=20", "--records=60000", "--variants=lean", "--clients=confluent", "--interval=0.02", "--seconds=1",
        "--latency-seconds=0", "--alone", "--no-decoding", "--output", "{folder}",
    ],
    "decoding": ["--records=2000"],
    "directions": ["--data", "{folder}"],
    "gpu": ["--devices", "cpu", "--series", "50"],
    "overhead": [
        "snapshots", "--turns=2", "--seconds=0.1", "--warm=0.1", "--variants=lean", "--series=1",
        "--set=commit.interval=50ms", "--set=learning.enabled=false",
    ],
    "page": [
        "--viewers=1", "--turns=1", "--seconds=1", "--warm=0", "--plots=1", "--stored=500", "--records=600000",
    ],
    "paper": ["{folder}/small.csv", "--steps=2", "--origins", "200", "205"],
    "pictures": ["--points=20", "--seeds=0", "--output", "{folder}"],
    "restarts": ["--times=1", "--partitions=1", "--between=1"],
    "restore": ["--times=1", "--series=20", "--again=50"],
}  # fmt: skip
SLOW = {"page", "pictures"}
"""Those that take longer than ten seconds even so; the long run has them."""
MORE_OF_BENCH = ["--alone=1", "--latency-series=20", "--latency-seconds=0.3", "--latency-rounds=2"]
"""Arguments of `bench` that the long run adds: latencies, and the task without a log."""
FIGURES = {
    "ablate": r"\| nothing \| [0-9.]+ \|",
    "same_origins": r"\| River HoltWinters \| [0-9.]+, [0-9.]+, [0-9.]+ \|",
    "bench": r"\| lean/confluent/20 \| ratio to the pass-through \| [0-9.]+",
    "decoding": r"avro: [0-9,]+ values/s",
    "directions": r"\| small \| [0-9.]+ \|",
    "gpu": r"default, 50 series, cpu: [0-9,]+ records/s",
    "overhead": r"processor time: [0-9.]+ \+-",
    "page": r"1 viewers, ratio of records/s: [0-9.]+",
    "paper": r"streamrnn [0-9.]+",
    "pictures": r"gru seed 0 error [0-9.]+",
    "restarts": r"seconds to a forecast of all partitions: [0-9.]+",
    "restore": r"replayed in [0-9.]+ s",
}


def test_every_benchmark_is_tested() -> None:
    """A new module is added to the tables above."""
    assert {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - WITHOUT_FIGURES == ARGUMENTS.keys()
    assert FIGURES.keys() == ARGUMENTS.keys()


@pytest.mark.parametrize(
    ("name", "added"),
    [
        *(pytest.param(each, [], marks=[pytest.mark.long] * (each in SLOW)) for each in ARGUMENTS),
        ("paper", ["--fev", "--windows", "2", "10"]),
        pytest.param("bench", MORE_OF_BENCH, marks=pytest.mark.long),
    ],
)
def test_a_benchmark_prints_a_figure(
    name: str, added: list[str], request: pytest.FixtureRequest, fork_server: ForkServer, tmp_path: Path
) -> None:
    """It ends without an error after it has printed a figure in the expected form."""
    rows = 80 if name == "directions" else 220
    lines = [f"2016-07-{1 + n // 24 % 28:02d}T{n % 24:02d}:00:00," + f"{n % 24 + n % 7 / 10}" for n in range(rows)]
    (tmp_path / "small.csv").write_text("\n".join(["date,OT", *lines]) + "\n")
    arguments = [each.format(folder=tmp_path) for each in [*ARGUMENTS[name], *added]]
    if name == "page" and shutil.which("chromium") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no browser: install chromium")
    if name in {"bench", "restarts", "restore"}:
        arguments += ["--bootstrap-servers", request.getfixturevalue("broker")]
    done = subprocess.run(
        [*fork_server.command, "-c", RUN, f"benchmarks.{name}", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {PATH: fork_server.path},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(FIGURES[name], done.stdout), done.stdout
