"""The build and deployment files: they agree with the program and each other, and expose nothing to the network."""

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

from streamrnn.observe.catalogue import METRICS, SELECTED
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
    """Read the last stage of the Dockerfile, the image that runs."""
    stages = instructions()
    start = max(index for index, (word, _) in enumerate(stages) if word == "FROM")
    return stages[start:]


def environment() -> dict[str, str]:
    """Read the environment variables of the image that runs."""
    pairs = [pair for word, rest in last_stage() if word == "ENV" for pair in rest.split()]
    return dict(pair.split("=", 1) for pair in pairs)


def test_the_dockerfile_has_only_known_instructions() -> None:
    """A misspelt instruction would fail the build."""
    known = {
        "ARG",
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


def test_the_image_installs_only_locked_packages() -> None:
    """Each pip install checks hashes or installs no dependency, but for torch of another index, in its version."""
    installs = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]
    kinds = ["--require-hashes" in rest or "--no-deps --no-build-isolation" in rest for rest in installs]
    assert kinds == [True, False, True]
    assert r"s/^\(torch==[^ ;]*\).*/\1/p' requirements.lock" in installs[1]


def test_the_image_copies_only_what_exists_and_is_not_ignored() -> None:
    """Every source of a COPY is in the repository, and .dockerignore lets it through."""
    allowed = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = [rest.split() for word, rest in instructions() if word == "COPY" and not rest.startswith("--from")]
    sources = {source for *given, _ in copies for source in given}
    assert sources == allowed
    assert [source for source in sources if not (REPOSITORY / source).exists()] == []


def test_ports_of_the_image() -> None:
    """EXPOSE and HEALTHCHECK use the default ports, and the image listens on all addresses."""
    last = dict(last_stage())
    port = Settings().metrics.port
    assert last["EXPOSE"] == f"{port} {Settings().page.port}"
    assert f"http://127.0.0.1:{port}/healthz" in last["HEALTHCHECK"]
    assert environment()["STREAMRNN_METRICS__HOST"] == environment()["STREAMRNN_PAGE__HOST"] == "0.0.0.0"


def test_the_health_check_of_the_image_compiles() -> None:
    """HEALTHCHECK, ENTRYPOINT and CMD are JSON lists, and the program in HEALTHCHECK compiles."""
    last = dict(last_stage())
    command = json.loads(last["HEALTHCHECK"].partition("CMD ")[2])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "HEALTHCHECK", "exec")
    assert json.loads(last["ENTRYPOINT"]) == ["streamrnn"]
    assert json.loads(last["CMD"])[0] == "run"


def test_writable_folders_of_the_image() -> None:
    """The folder of compiled code and the working folder belong to the user of the image."""
    made = next(rest for word, rest in last_stage() if word == "RUN")
    owned = made.partition("--owner=streamrnn")[2].split()
    assert environment()["NUMBA_CACHE_DIR"] in owned
    assert dict(last_stage())["WORKDIR"] in owned


def test_the_image_has_compiled_loops() -> None:
    """The loops of both variants are compiled by a program that is valid, and belong to the user of the image."""
    compiling = next(rest for word, rest in last_stage() if word == "RUN" and "warm_up" in rest)
    program, _, owned = compiling.removeprefix('python -c "').partition('"')
    compile(program, "RUN", "exec")
    assert "'model.variant=lean'" in program
    assert owned.split() == ["&&", "chown", "-R", "streamrnn:streamrnn", environment()["NUMBA_CACHE_DIR"]]
    words = [word for word, _ in last_stage()]
    assert words.index("ENV") < [rest for _, rest in last_stage()].index(compiling)


def test_the_configuration_of_the_deployment_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of image and Compose file loads with the mounted configuration."""
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
    """Every mounted file and build folder exists, and every named volume is declared."""
    compose = read("compose.yaml")
    volumes = [volume.split(":")[0] for service in compose["services"].values() for volume in service["volumes"]]
    files = [volume for volume in volumes if volume.startswith(".")]
    assert [file for file in files if not (DEPLOY / file).exists()] == []
    assert {volume for volume in volumes if not volume.startswith(".")} == set(compose["volumes"])
    assert (DEPLOY / compose["services"]["streamrnn"]["build"] / "Dockerfile").is_file()


def test_compose_listens_on_this_machine_only() -> None:
    """Every published port is bound to 127.0.0.1."""
    ports = [port for service in read("compose.yaml")["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 5
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_compose_pins_exact_versions() -> None:
    """Every image has a full version."""
    images = [service["image"] for service in read("compose.yaml")["services"].values() if "image" in service]
    assert len(images) == 3
    assert [image for image in images if not re.search(r":v?\d+\.\d+\.\d+$", image)] == []


def test_compose_gives_the_daemon_time_to_stop() -> None:
    """The daemon stops within 10 s of SIGTERM; Docker kills it no sooner."""
    grace = read("compose.yaml")["services"]["streamrnn"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > 10


def test_the_broker_of_the_deployment_advertises_an_address_for_each_listener() -> None:
    """Every listener except the controller's is advertised, and the daemon uses the inner one."""
    kafka = read("compose.yaml")["services"]["kafka"]["environment"]
    listeners, advertised, protocols = (
        dict(pair.split(":", 1) for pair in kafka[name].split(","))
        for name in ("KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS", "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP")
    )
    assert listeners.keys() == protocols.keys() == advertised.keys() | {kafka["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    daemon = read("compose.yaml")["services"]["streamrnn"]["environment"]
    assert advertised["INSIDE"] == f"//{daemon['STREAMRNN_KAFKA__BOOTSTRAP_SERVERS']}"


def test_prometheus_scrapes_the_default_port() -> None:
    """The target is the service's name with the default of metrics.port."""
    jobs = {job["job_name"]: job["static_configs"] for job in read("prometheus.yml")["scrape_configs"]}
    assert jobs["streamrnn"] == [{"targets": [f"streamrnn:{Settings().metrics.port}"]}]
    assert "streamrnn" in read("compose.yaml")["services"]


def boards() -> list[Any]:
    """Read the dashboards."""
    return [json.loads(path.read_text()) for path in sorted((DEPLOY / "grafana/dashboards").glob("*.json"))]


def test_grafana_uses_the_sources_of_the_deployment() -> None:
    """Each variable of a dashboard that chooses a data source finds one of its kind, at the address of a service."""
    sources = {source["type"]: source for source in read("grafana/datasource.yaml")["datasources"]}
    services = read("compose.yaml")["services"]
    for board in boards():
        chosen = {v["name"]: v["query"] for v in board["templating"]["list"] if v["type"] == "datasource"}
        for panel in board["panels"]:
            name = panel["datasource"]["uid"].removeprefix("${").removesuffix("}")
            assert panel["datasource"]["type"] == chosen[name] in sources
    assert sources["prometheus"]["isDefault"]
    for source in sources.values():
        assert source["url"].split(":")[1].removeprefix("//") in services
    api = sources["yesoreyeram-infinity-datasource"]
    # without a token the page answers to its own address only
    host, port = services["streamrnn"]["environment"]["STREAMRNN_PAGE__HOST"], Settings().page.port
    assert api["url"] == f"http://{host}:{port}" in api["jsonData"]["allowedHosts"]
    assert services["streamrnn"]["hostname"] == host
    assert services["grafana"]["environment"]["GF_PLUGINS_PREINSTALL"] == api["type"]
    (provider,) = read("grafana/dashboards.yaml")["providers"]
    volumes = read("compose.yaml")["services"]["grafana"]["volumes"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in volumes


def test_compose_mounts_the_rules() -> None:
    """The rules are mounted beside Prometheus' configuration."""
    (name,) = read("prometheus.yml")["rule_files"]
    assert f"./{name}:/etc/prometheus/{name}:ro" in read("compose.yaml")["services"]["prometheus"]["volumes"]


def test_what_is_generated_is_up_to_date(tmp_path: Path) -> None:
    """`make generate` changes no file: dashboards and tables match the code."""
    command = [sys.executable, "deploy/generate.py", "--output", str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, check=True)
    made = [path.relative_to(tmp_path) for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    assert [path for path in made if (REPOSITORY / path).read_bytes() != (tmp_path / path).read_bytes()] == []
    shown = {path.name for path in (DEPLOY / "grafana/dashboards").iterdir()}
    assert shown == {path.name for path in made if path.parts[:2] == ("deploy", "grafana")}
    schemas = {path.name for path in (REPOSITORY / "docs/reference/schemas").iterdir()}
    assert schemas == {path.name for path in made if path.parent.name == "schemas"}


def test_every_alert_has_a_section_in_the_runbook() -> None:
    """Each alert links to a heading of the runbook, and each heading belongs to an alert."""
    alerts = [rule for group in read("rules.yml")["groups"] for rule in group["rules"] if "alert" in rule]
    linked = [rule["annotations"]["runbook_url"].partition("#")[2] for rule in alerts]
    text = (REPOSITORY / "docs/how-to/runbook.md").read_text()
    assert linked == [title.lower().replace(" ", "-") for title in re.findall(r"^## (.+)$", text, re.MULTILINE)]
    assert all({"summary", "description"} <= rule["annotations"].keys() for rule in alerts)
    assert {rule["labels"]["severity"] for rule in alerts} == {"warning", "critical"}


def test_rules_and_dashboards_use_existing_metrics() -> None:
    """Every metric in a query is in the catalogue, with the suffixes of its kind, or recorded by a rule."""
    endings = {"histogram": ("_bucket", "_sum", "_count"), "distribution": ("_bucket", "_gsum", "_gcount")}
    known = {f"streamrnn_{m.name}{end}" for m in (*METRICS, *SELECTED) for end in endings.get(m.kind, ("",))}
    known = {f"{name}_total" if name[10:] in COUNTERS else name for name in known} | {"streamrnn_build_info"}
    rules = [rule for group in read("rules.yml")["groups"] for rule in group["rules"]]
    known |= {rule["record"] for rule in rules if "record" in rule}
    queries = [rule["expr"] for rule in rules]
    targets = [target for board in boards() for panel in board["panels"] for target in panel["targets"]]
    queries += [target["expr"] for target in targets if "expr" in target]
    assert len(queries) > 80
    used = {name for query in queries for name in re.findall(r"\w+:streamrnn_[\w:]+|\bstreamrnn_\w+", query)}
    assert used - known == set()
    recorded = {rule["record"] for rule in rules if "record" in rule}
    assert recorded - used == set()  # no recorded rule is unused


def test_the_license_matches_the_package() -> None:
    """The license file has the full text of Apache-2.0."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    text = (REPOSITORY / project["license-files"][0]).read_text()
    assert project["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_every_direct_dependency_is_listed_with_its_licence() -> None:
    """The table of docs/explanation/security.md names what needs each dependency of pyproject.toml, and a licence."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    parts = {"streamrnn": project["dependencies"], **project["optional-dependencies"]}
    lines = (REPOSITORY / "docs/explanation/security.md").read_text().splitlines()
    rows = {cells[1].strip(): cells[2:4] for line in lines if (cells := line.split("|"))[0] == "" and len(cells) == 5}
    for part, requirements in parts.items():
        for requirement in requirements:
            needed, licence = rows[re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower()]
            assert part in needed.strip().split(", "), requirement
            assert licence.strip(), requirement


def test_the_lock_has_every_dependency_with_hashes() -> None:
    """All dependencies of pyproject.toml are locked, also the build backend, as builds are not isolated."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    required = [*project["project"]["dependencies"], *(item for extra in extras for item in extra)]
    required += project["build-system"]["requires"]
    names = {re.split(r"[<>=! ]", item)[0].lower().replace("_", "-") for item in required}
    entries = re.findall(
        r"^([a-z0-9-]+)==\S+.*\\\n    --hash=sha256:", (REPOSITORY / "requirements.lock").read_text(), re.M
    )
    assert names - set(entries) == set()


def test_incompatible_releases_are_excluded() -> None:
    """confluent-kafka is below 3, an incompatible rewrite; nicegui is at least 3.12, as the page requires."""
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    bounds = {item for extra in extras.values() for item in extra if re.match("confluent-kafka|nicegui", item)}
    assert bounds == {"confluent-kafka>=2.16,<3", "nicegui>=3.12"}


def test_the_lock_has_no_registry_and_no_path() -> None:
    """The lock installs from any mirror: it has no URL, no path, and no option except hashes."""
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    entries = [line for line in lines if not line.startswith("#")]
    assert [line for line in entries if not re.match(r"[a-z0-9-]+==[^/@]+$|    --hash=sha256:[0-9a-f]{64}", line)] == []
    assert [line for line in lines if re.search(r"://|/tmp/|/home/|--(extra-)?index-url |--find-links", line)] == []


@pytest.mark.parametrize(
    "target", ["venv", "demo", "test", "long", "check", "bench", "bench-compare", "generate", "docs", "lock", "clean"]
)
def test_every_target_is_explained_and_runs(target: str) -> None:
    """`make` alone lists the target, and its dry run succeeds."""
    help_text = subprocess.run(["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert f"make {target} " in help_text
    subprocess.run(["make", "--dry-run", target], cwd=REPOSITORY, capture_output=True, check=True)


def test_the_demo_of_a_new_machine_has_the_locked_versions(tmp_path: Path) -> None:
    """Without .venv, `make demo` installs what the demo needs, without torch, in the versions of the lock."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(REPOSITORY / name, tmp_path)
    dry_run = ["make", "--dry-run", "--no-print-directory", "demo"]  # the tests may be run by make
    commands = subprocess.run(dry_run, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()
    (write,) = [each for each in commands if each.startswith("sed ")]
    (tmp_path / "build" / "demo").mkdir(parents=True)
    subprocess.run(write, cwd=tmp_path, shell=True, check=True)
    versions = (tmp_path / "build" / "demo" / "versions.txt").read_text()
    lock = (tmp_path / "requirements.lock").read_text()
    assert versions.splitlines() == [line.removesuffix(" \\") for line in lock.splitlines() if "==" in line]
    assert [each for each in commands if "pip install" in each and not each.endswith("-e '.[report]'")] == []
    assert commands[-1] == "build/demo/bin/streamrnn demo"


@pytest.mark.parametrize(
    ("refused", "words"),
    [("version_info", "needs Python 3.11 or newer"), ("ensurepip", "apt-get install python3-venv")],
)
def test_an_unsuitable_python_is_refused(tmp_path: Path, refused: str, words: str) -> None:
    """If Python is too old or has no venv, make prints the remedy in one line and creates nothing."""
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


def test_the_ci_script() -> None:
    """The script is executable, stops at the first failure, and runs the checks and the tests."""
    script = REPOSITORY / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text()
    assert script.read_text().endswith("make check\nmake test\n")
    subprocess.run(["bash", "-n", str(script)], check=True)
