"""The build and the deployment files: they agree with the program and each other, and expose nothing to the network."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamrnn.observe.catalogue import METRICS
from streamrnn.settings import Settings, load

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"
COUNTERS = {metric.name for metric in METRICS if metric.kind == "counter"}


def read(path: str) -> Any:
    """Read a YAML file of the deployment."""
    return yaml.safe_load((DEPLOY / path).read_text())


def instructions() -> list[tuple[str, str]]:
    """Read the Dockerfile as (instruction, its arguments)."""
    text = "\n".join(line for line in (REPOSITORY / "Dockerfile").read_text().splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", text)
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def last_stage() -> list[tuple[str, str]]:
    """Read what the Dockerfile says of the image that runs."""
    stages = instructions()
    start = max(index for index, (word, _) in enumerate(stages) if word == "FROM")
    return stages[start:]


def environment() -> dict[str, str]:
    """Read the environment variables of the image that runs."""
    pairs = [pair for word, rest in last_stage() if word == "ENV" for pair in rest.split()]
    return dict(pair.split("=", 1) for pair in pairs)


def test_the_image_knows_only_instructions_that_exist() -> None:
    """A misspelt instruction would fail the build."""
    known = {
        "FROM",
        "WORKDIR",
        "RUN",
        "COPY",
        "ENV",
        "USER",
        "EXPOSE",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    }
    assert {word for word, _ in instructions()} <= known


def test_the_image_does_not_run_as_root() -> None:
    """The last user named is a number other than 0, and nothing is run after it."""
    words = [word for word, _ in last_stage()]
    users = [rest for word, rest in last_stage() if word == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])
    assert "RUN" not in words[words.index("USER") :]


def test_the_image_installs_what_the_lock_says_and_nothing_else() -> None:
    """Each pip install checks hashes, or takes no dependency."""
    installs = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]
    kinds = ["--require-hashes" in rest or "--no-deps --no-build-isolation" in rest for rest in installs]
    assert kinds == [True, True]


def test_the_image_copies_only_what_exists_and_is_not_ignored() -> None:
    """Every source of a COPY is in the repository, and .dockerignore lets it through."""
    allowed = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = [rest.split() for word, rest in instructions() if word == "COPY" and not rest.startswith("--from")]
    sources = {source for *given, _ in copies for source in given}
    assert sources == allowed
    assert [source for source in sources if not (REPOSITORY / source).exists()] == []


def test_the_image_is_checked_and_exposed_at_the_port_of_the_metrics() -> None:
    """EXPOSE, HEALTHCHECK and the defaults of metrics.port and page.port agree, and the image answers the network."""
    said = dict(last_stage())
    port = Settings().metrics.port
    assert said["EXPOSE"] == f"{port} {Settings().page.port}"
    assert f"http://127.0.0.1:{port}/healthz" in said["HEALTHCHECK"]
    assert environment()["STREAMRNN_METRICS__HOST"] == environment()["STREAMRNN_PAGE__HOST"] == "0.0.0.0"


def test_the_check_of_the_image_is_a_program_that_python_accepts() -> None:
    """HEALTHCHECK, ENTRYPOINT and CMD are JSON lists, and the program in the first compiles."""
    said = dict(last_stage())
    command = json.loads(said["HEALTHCHECK"].partition("CMD ")[2])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "HEALTHCHECK", "exec")
    assert json.loads(said["ENTRYPOINT"]) == ["streamrnn"]
    assert json.loads(said["CMD"])[0] == "run"


def test_the_image_can_write_where_it_must() -> None:
    """The folder of compiled code and the working folder are made for the user of the image."""
    made = next(rest for word, rest in last_stage() if word == "RUN")
    owned = made.partition("--owner=streamrnn")[2].split()
    assert environment()["NUMBA_CACHE_DIR"] in owned
    assert dict(last_stage())["WORKDIR"] in owned


def test_what_configures_the_daemon_in_the_deployment_is_known_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of image and Compose file, on the mounted configuration, load."""
    service = read("compose.yaml")["services"]["streamrnn"]
    mounted = next(volume for volume in service["volumes"] if ":/etc/streamrnn/" in volume).split(":")
    for name in [name for name in os.environ if name.startswith("STREAMRNN_")]:
        monkeypatch.delenv(name)
    for name, value in {**environment(), **service["environment"]}.items():
        if name.startswith("STREAMRNN_"):
            monkeypatch.setenv(name, value)
    settings = load(DEPLOY / mounted[0], [])
    assert settings.kafka.bootstrap_servers == "kafka:29092"
    assert service["command"] == ["run", "-c", mounted[1]]


def test_compose_mounts_files_that_exist() -> None:
    """Every file and build folder that the Compose file names is there, and every named volume is declared."""
    compose = read("compose.yaml")
    volumes = [volume.split(":")[0] for service in compose["services"].values() for volume in service["volumes"]]
    files = [volume for volume in volumes if volume.startswith(".")]
    assert [file for file in files if not (DEPLOY / file).exists()] == []
    assert {volume for volume in volumes if not volume.startswith(".")} == set(compose["volumes"])
    assert (DEPLOY / compose["services"]["streamrnn"]["build"] / "Dockerfile").is_file()


def test_compose_listens_on_this_machine_only() -> None:
    """Every published port is bound to 127.0.0.1."""
    ports = [port for service in read("compose.yaml")["services"].values() for port in service["ports"]]
    assert len(ports) == 5
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_compose_names_exact_versions() -> None:
    """No image floats."""
    images = [service["image"] for service in read("compose.yaml")["services"].values() if "image" in service]
    assert len(images) == 3
    assert [image for image in images if not re.search(r":v?\d+\.\d+\.\d+$", image)] == []


def test_compose_gives_the_daemon_time_to_end() -> None:
    """The daemon ends within 10 s of SIGTERM; Docker kills it no sooner."""
    grace = read("compose.yaml")["services"]["streamrnn"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > 10


def test_the_broker_of_the_deployment_advertises_an_address_for_each_listener() -> None:
    """Every listener but the controller's is advertised, and the daemon uses the one for the inside."""
    kafka = read("compose.yaml")["services"]["kafka"]["environment"]
    listeners, advertised, protocols = (
        dict(pair.split(":", 1) for pair in kafka[name].split(","))
        for name in ("KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS", "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP")
    )
    assert listeners.keys() == protocols.keys() == advertised.keys() | {kafka["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    daemon = read("compose.yaml")["services"]["streamrnn"]["environment"]
    assert advertised["INSIDE"] == f"//{daemon['STREAMRNN_KAFKA__BOOTSTRAP_SERVERS']}"


def test_prometheus_asks_the_daemon_at_the_port_of_its_metrics() -> None:
    """The target is the service's name and the default of metrics.port."""
    jobs = {job["job_name"]: job["static_configs"] for job in read("prometheus.yml")["scrape_configs"]}
    assert jobs["streamrnn"] == [{"targets": [f"streamrnn:{Settings().metrics.port}"]}]
    assert "streamrnn" in read("compose.yaml")["services"]


def boards() -> list[Any]:
    """Read the dashboards."""
    return [json.loads(path.read_text()) for path in sorted((DEPLOY / "grafana/dashboards").glob("*.json"))]


def test_grafana_reads_the_prometheus_of_the_deployment() -> None:
    """Data source and panels name the same source, at the address of the service."""
    (source,) = read("grafana/datasource.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert {panel["datasource"]["uid"] for board in boards() for panel in board["panels"]} == {source["uid"]}
    (provider,) = read("grafana/dashboards.yaml")["providers"]
    volumes = read("compose.yaml")["services"]["grafana"]["volumes"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in volumes


def test_prometheus_finds_its_rules_where_compose_mounts_them() -> None:
    """The rules lie beside the configuration, in the image as in the repository."""
    (name,) = read("prometheus.yml")["rule_files"]
    assert f"./{name}:/etc/prometheus/{name}:ro" in read("compose.yaml")["services"]["prometheus"]["volumes"]


def test_what_is_generated_is_up_to_date(tmp_path: Path) -> None:
    """`make generate` would change no file: dashboards and tables are those of the code."""
    command = [sys.executable, "deploy/generate.py", "--output", str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, check=True)
    made = [path.relative_to(tmp_path) for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    assert [path for path in made if (REPOSITORY / path).read_bytes() != (tmp_path / path).read_bytes()] == []
    shown = {path.name for path in (DEPLOY / "grafana/dashboards").iterdir()}
    assert shown == {path.name for path in made if path.suffix == ".json"}


def test_every_alert_has_its_page_in_the_runbook() -> None:
    """Each alert links to a heading that is there, and each heading is that of an alert."""
    alerts = [rule for group in read("rules.yml")["groups"] for rule in group["rules"] if "alert" in rule]
    linked = [rule["annotations"]["runbook_url"].partition("#")[2] for rule in alerts]
    text = (REPOSITORY / "docs/how-to/runbook.md").read_text()
    assert linked == [title.lower().replace(" ", "-") for title in re.findall(r"^## (.+)$", text, re.MULTILINE)]
    assert all({"summary", "description"} <= rule["annotations"].keys() for rule in alerts)
    assert {rule["labels"]["severity"] for rule in alerts} == {"warning", "critical"}


def test_rules_and_dashboards_name_only_what_there_is() -> None:
    """Every metric named is in the catalogue, with the endings that its kind has, or is recorded by a rule."""
    endings = {"histogram": ("_bucket", "_sum", "_count"), "distribution": ("_bucket", "_gsum", "_gcount")}
    known = {f"streamrnn_{m.name}{end}" for m in METRICS for end in endings.get(m.kind, ("",))}
    known = {f"{name}_total" if name[10:] in COUNTERS else name for name in known} | {"streamrnn_build_info"}
    rules = [rule for group in read("rules.yml")["groups"] for rule in group["rules"]]
    known |= {rule["record"] for rule in rules if "record" in rule}
    queries = [rule["expr"] for rule in rules]
    queries += [target["expr"] for board in boards() for panel in board["panels"] for target in panel["targets"]]
    assert len(queries) > 80
    used = {name for query in queries for name in re.findall(r"\w+:streamrnn_[\w:]+|\bstreamrnn_\w+", query)}
    assert used - known == set()
    recorded = {rule["record"] for rule in rules if "record" in rule}
    assert recorded - used == set()  # none is made for nobody


def test_the_license_is_the_one_that_the_package_names() -> None:
    """The full text of Apache-2.0 is there."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    text = (REPOSITORY / project["license-files"][0]).read_text()
    assert project["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_lock_holds_every_dependency_with_hashes() -> None:
    """What pyproject.toml asks for is locked, and so is the build backend, which no isolated build brings."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    asked = [*project["project"]["dependencies"], *(item for extra in extras for item in extra)]
    asked += project["build-system"]["requires"]
    names = {re.split(r"[<>=! ]", item)[0].lower().replace("_", "-") for item in asked}
    entries = re.findall(
        r"^([a-z0-9-]+)==\S+.*\\\n    --hash=sha256:", (REPOSITORY / "requirements.lock").read_text(), re.M
    )
    assert names - set(entries) == set()


def test_releases_that_do_not_fit_are_excluded() -> None:
    """confluent-kafka stays below 3, an incompatible rewrite under the same name; nicegui is at least 3.12.

    Releases of nicegui before that are not supported by the page.
    """
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    bounds = {item for extra in extras.values() for item in extra if re.match("confluent-kafka|nicegui", item)}
    assert bounds == {"confluent-kafka>=2.16,<3", "nicegui>=3.12"}


def test_the_lock_names_no_registry_and_no_folder() -> None:
    """It installs from any mirror: it has no address, no option but hashes, and no path."""
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    entries = [line for line in lines if not line.startswith("#")]
    assert [line for line in entries if not re.match(r"[a-z0-9-]+==[^/@]+$|    --hash=sha256:[0-9a-f]{64}", line)] == []
    assert [line for line in lines if re.search(r"://|/tmp/|/home/|--(extra-)?index-url |--find-links", line)] == []


@pytest.mark.parametrize("target", ["venv", "demo", "test", "long", "check", "bench", "generate", "lock", "clean"])
def test_every_target_is_explained_and_runs(target: str) -> None:
    """`make` alone lists the target, and make can say what it would do."""
    help_text = subprocess.run(["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert f"make {target} " in help_text
    subprocess.run(["make", "--dry-run", target], cwd=REPOSITORY, capture_output=True, check=True)


@pytest.mark.parametrize(
    ("refused", "words"),
    [("version_info", "needs Python 3.11 or newer"), ("ensurepip", "apt-get install python3-venv")],
)
def test_a_python_that_will_not_do_is_refused_in_one_line(tmp_path: Path, refused: str, words: str) -> None:
    """Too old, or without venv: make says so, says what to do, and leaves nothing behind."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(REPOSITORY / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncase "$*" in *{refused}*) exit 1;; esac\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["make", f"PYTHON={python}", "venv"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    first, *rest = done.stderr.splitlines()
    assert done.returncode == 2
    assert words in first
    assert [line for line in rest if not re.match(r"make(\[\d+\])?: \*\*\*", line)] == []
    assert not (tmp_path / ".venv").exists()


def test_the_script_of_the_build_machine_is_sound() -> None:
    """It is executable, stops at the first failure, and runs the checks and the tests."""
    script = REPOSITORY / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text()
    assert script.read_text().endswith("make check\nmake test\n")
    subprocess.run(["bash", "-n", str(script)], check=True)
