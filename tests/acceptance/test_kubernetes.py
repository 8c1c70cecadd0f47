"""The Helm chart and the plain manifests: valid, hardened, and what the daemon needs, by running what the pods run."""

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from support.broker import _die_with_parent, free_ports
from support.documents import blocks
from support.fork_server import ForkServer
from support.helm import (
    CHART,
    NAMES,
    ROOT,
    VALUES,
    Manifest,
    configuration,
    environment,
    helm,
    manifests,
    of_kind,
    parsed,
    pod,
    program,
    refusal,
    render,
)  # fmt: skip
from support.process import own_environment, until
from support.prometheus import Prometheus
from support.prometheus import missing as missing_prometheus

from streamrnn.cli import main
from streamrnn.commands.capacity import sizing as capacity
from streamrnn.commands.run import STOP_SECONDS
from streamrnn.log import Topic
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import Record
from streamrnn.runtime import processes
from streamrnn.settings import load

if program() is None:
    reason = "no Helm: run tests/set_up.sh"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)

EVERY = pytest.mark.parametrize("name", NAMES)
CRDS = {"ServiceMonitor", "PrometheusRule", "ScaledObject", "ExternalSecret"}
GIVEN = {name: yaml.safe_load((VALUES / f"{name}.yaml").read_text()) for name in NAMES}


def template(name: str) -> Manifest:
    """Return metadata and specification of the pods."""
    (found,) = of_kind(name, "StatefulSet")
    result: Manifest = found["spec"]["template"]
    return result


def daemon(name: str) -> Manifest:
    """Return the container of the daemon."""
    (container,) = pod(name)["containers"]
    result: Manifest = container
    return result


def only(name: str, kind: str) -> Manifest:
    """Return the one manifest of a kind."""
    (found,) = of_kind(name, kind)
    return found


def test_every_part_of_the_chart_is_rendered() -> None:
    """The value files cover every template: a kind that none of them has would not be tested."""
    kinds = {each["kind"] for name in NAMES for each in manifests(name)}
    assert kinds == CRDS | {
        "StatefulSet", "Service", "ServiceAccount", "ConfigMap", "PodDisruptionBudget", "NetworkPolicy", "Ingress",
    }  # fmt: skip
    sources = {
        line
        for name in NAMES
        for line in render("--values", VALUES / f"{name}.yaml").splitlines()
        if "# Source" in line
    }
    templates = {f"# Source: streamrnn/templates/{path.name}" for path in (CHART / "templates").glob("*.yaml")}
    assert sources == templates
    assert {each["metadata"]["name"] for name in NAMES for each in of_kind(name, "Service")} == {
        "streamrnn", "streamrnn-page", "forecasts", "forecasts-page",
    }  # fmt: skip


@EVERY
def test_the_chart_passes_the_linter(name: str) -> None:
    """`helm lint --strict` finds nothing."""
    done = helm("lint", "--strict", CHART, "--values", VALUES / f"{name}.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def problems(manifest: Manifest) -> list[str]:
    """Return what the schemas of the oldest and the newest version of Kubernetes have against a manifest."""
    oldest = re.search(r"\d+\.\d+", yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"])
    assert oldest is not None
    found = []
    for version in (oldest[0], kubernetes_validate.latest_version()):
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{version} {'.'.join(map(str, error.path))}: {error.message}")
    return found


@EVERY
def test_manifests_are_valid(name: str) -> None:
    """Every object of Kubernetes' own fits the API, without unknown members."""
    own = [each for each in manifests(name) if each["kind"] not in CRDS]
    assert len(own) >= 6
    assert [problem for each in own for problem in problems(each)] == []


def test_the_validation_finds_mistakes() -> None:
    """A misspelt member and a wrong type are found."""
    text = json.dumps(only("default", "StatefulSet"))
    for right, wrong in (
        ('"terminationGracePeriodSeconds"', '"terminationGracePeriod"'),
        ('"podManagementPolicy": "Parallel"', '"podManagementPolicy": ["Parallel"]'),
        ('"failureThreshold": 60', '"failureThreshold": "60"'),
    ):
        assert right in text
        assert problems(json.loads(text.replace(right, wrong))) != [], wrong


def test_custom_resources_have_what_their_operators_need() -> None:
    """Members that the schemas of the Prometheus operator and of KEDA require, and where they point."""
    monitor = only("monitored", "ServiceMonitor")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    (service,) = [each for each in of_kind("monitored", "Service") if wanted <= each["metadata"]["labels"].items()]
    ports = {port["name"] for port in service["spec"]["ports"]}
    for endpoint in monitor["spec"]["endpoints"]:
        assert endpoint["port"] in ports
        assert re.fullmatch(r"\d+[sm]", endpoint["interval"])
        assert {"targetLabel": "job", "replacement": "streamrnn"} in endpoint["relabelings"]
    rules = only("monitored", "PrometheusRule")
    assert rules["apiVersion"] == "monitoring.coreos.com/v1"
    assert rules["spec"] == yaml.safe_load((ROOT / "deploy/rules.yml").read_text())
    scaled = only("monitored", "ScaledObject")
    target = only("monitored", "StatefulSet")
    assert scaled["apiVersion"] == "keda.sh/v1alpha1"
    assert scaled["spec"]["scaleTargetRef"] == {
        "apiVersion": target["apiVersion"], "kind": target["kind"], "name": target["metadata"]["name"],
    }  # fmt: skip
    assert "replicas" not in target["spec"]
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]) == (2, 12)
    (trigger,) = scaled["spec"]["triggers"]
    metadata = trigger["metadata"]
    assert trigger["type"] == "prometheus"
    assert {"serverAddress", "query", "threshold"} <= metadata.keys()
    assert all(isinstance(value, str) for value in metadata.values())  # KEDA refuses numbers
    assert metadata["threshold"] == "2000000"


def test_dashboards_are_those_of_grafana() -> None:
    """Each dashboard is a ConfigMap with the label of the sidecar, and below the largest size of one."""
    boards = [each for each in of_kind("monitored", "ConfigMap") if "dashboard" in each["metadata"]["name"]]
    assert all(each["metadata"]["labels"]["grafana_dashboard"] == "1" for each in boards)
    found = {name: text for each in boards for name, text in each["data"].items()}
    sources = {f"streamrnn-{path.name}": path.read_text() for path in (ROOT / "deploy/grafana/dashboards").iterdir()}
    assert {name: text.rstrip() for name, text in found.items()} == {n: text.rstrip() for n, text in sources.items()}


@EVERY
def test_labels_select_the_pods(name: str) -> None:
    """Every selector matches the pods, and the StatefulSet has the Service of its names."""
    labels = template(name)["metadata"]["labels"].items()
    specifications = {each["kind"]: each["spec"] for each in manifests(name) if "spec" in each}
    selectors = [each["spec"]["selector"] for each in of_kind(name, "Service")]
    selectors += [specifications[kind]["selector"]["matchLabels"] for kind in ("StatefulSet", "PodDisruptionBudget")]
    selectors += [specifications["NetworkPolicy"]["podSelector"]["matchLabels"]]
    selectors += [each["labelSelector"]["matchLabels"] for each in pod(name)["topologySpreadConstraints"]]
    assert [each for each in selectors if not (each and each.items() <= labels)] == []
    headless = [
        each["metadata"]["name"] for each in of_kind(name, "Service") if each["spec"].get("clusterIP") == "None"
    ]
    assert headless == [specifications["StatefulSet"]["serviceName"]]
    own = [each for each in manifests(name) if each["kind"] != "ExternalSecret"]
    assert {each["metadata"]["labels"]["app.kubernetes.io/instance"] for each in own} == {"streamrnn"}


@EVERY
def test_the_configuration_passes_the_check(
    name: str,
    tmp_path: Path,
    bare_environment: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`streamrnn check` accepts the ConfigMap in the environment of the container, and no value is lost."""
    for key, value in environment(daemon(name), "streamrnn-1").items():
        if key.startswith("STREAMRNN_"):
            monkeypatch.setenv(key, value)
    secrets_folder(name, tmp_path / "secrets")
    monkeypatch.setenv("STREAMRNN_SECRETS_DIR", str(tmp_path / "secrets"))
    text = configuration(name).replace("/run/secrets/streamrnn", str(tmp_path / "secrets"))
    (tmp_path / "streamrnn.yaml").write_text(text)
    assert main(["check", "-c", str(tmp_path / "streamrnn.yaml")]) == 0, capsys.readouterr()
    settings = load(tmp_path / "streamrnn.yaml")
    assert settings.kafka.instance == "streamrnn-1"
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())["config"]
    given = {**defaults, **GIVEN[name].get("config", {})}
    given["kafka"] = {**defaults["kafka"], **given["kafka"]}
    written = yaml.safe_dump(given).replace("/run/secrets/streamrnn", str(tmp_path / "secrets"))
    (tmp_path / "given.yaml").write_text(written)
    assert settings == load(tmp_path / "given.yaml")
    if name == "page":
        assert (settings.page.token is not None, settings.page.host) == (True, "::")
    if name == "secured":
        assert settings.kafka.sasl_password is not None
        assert settings.schema_registry.password is not None
    assert settings.page.host == "127.0.0.1" or settings.page.token is not None


def secrets_folder(name: str, folder: Path) -> None:
    """Write the files of the projected Secrets, as the kubelet does: with links."""
    folder.mkdir()
    (folder / "..data").mkdir()
    paths = {"streamrnn_schema_registry__password"} if name == "secured" else set()
    for volume in pod(name)["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            paths |= {item["path"] for item in source["secret"].get("items", [])}
    for path in paths:
        (folder / "..data" / path).write_text("a-secret-of-16-characters")
        (folder / path).symlink_to(f"..data/{path}")


@EVERY
def test_files_and_ports_fit_together(name: str) -> None:
    """Mounts have volumes, named ports exist and are those of the configuration, and paths are those of the image."""
    container, specification = daemon(name), pod(name)
    claims = only(name, "StatefulSet")["spec"].get("volumeClaimTemplates", [])
    volumes = {each["name"] for each in specification["volumes"]} | {each["metadata"]["name"] for each in claims}
    everyone = [container, *specification["initContainers"]]
    assert {mount["name"] for each in everyone for mount in each["volumeMounts"]} == volumes
    mounts = {each["mountPath"]: each for each in container["volumeMounts"]}
    variables = environment(container, "streamrnn-0")
    writable = {path for path, each in mounts.items() if not each.get("readOnly")}
    assert writable == {"/tmp", variables["NUMBA_CACHE_DIR"]}
    assert f"NUMBA_CACHE_DIR={variables['NUMBA_CACHE_DIR']}" in (ROOT / "Dockerfile").read_text()
    assert Path(container["args"][container["args"].index("-c") + 1]).parent.as_posix() in mounts
    assert variables.get("STREAMRNN_SECRETS_DIR", "/etc/streamrnn") in mounts
    given = GIVEN[name].get("config", {})
    first, workers = given.get("metrics", {}).get("port", 9108), given.get("workers", 1)
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    served = {f"metrics-{number}": first + number for number in range(workers)}
    if name == "page":
        served["page"] = 8088
    if name == "platform":
        served["page"] = 8080
    assert ports == served
    offered = {
        each["targetPort"]: each["port"] for service in of_kind(name, "Service") for each in service["spec"]["ports"]
    }
    assert offered == ports
    policy = only(name, "NetworkPolicy")["spec"]
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == set(ports)
    assert {container[probe]["httpGet"]["port"] for probe in container if probe.endswith("Probe")} == {"metrics-0"}


@EVERY
def test_pods_are_hardened(name: str) -> None:
    """The `restricted` standard of Kubernetes, a file system that cannot be written, and no token of the API."""
    specification = pod(name)
    security = specification["securityContext"]
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert user is not None
    assert (str(security["runAsUser"]), str(security["runAsGroup"])) == user.groups()
    assert security["runAsNonRoot"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (*specification["initContainers"], *specification["containers"]):
        own = container["securityContext"]
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"]) == (False, True)
        assert container["resources"]["limits"]["memory"]
    assert specification["automountServiceAccountToken"] is False
    for account in of_kind(name, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    assert specification["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & specification.keys()
    assert [each for each in specification["volumes"] if "hostPath" in each] == []


@EVERY
def test_another_configuration_replaces_the_pods_or_is_read_by_them(name: str) -> None:
    """A file of a ConfigMap changes under a pod only if its folder is mounted."""
    watched = GIVEN[name].get("reloadOnChange", False)
    assert ("--reload-on-change" in daemon(name)["args"]) is watched
    assert ("checksum/config" in (template(name)["metadata"]["annotations"] or {})) is not watched
    assert not any("subPath" in mount for mount in daemon(name)["volumeMounts"])


@EVERY
def test_the_daemon_has_time_to_stop(name: str) -> None:
    """The kubelet kills it no sooner than it would end by itself, also with workers."""
    assert pod(name)["terminationGracePeriodSeconds"] > max(STOP_SECONDS, processes.STOP_SECONDS)


@EVERY
def test_memory_is_series_times_state(name: str) -> None:
    """Request and limit are those of `streamrnn plan`: a GiB per process, and 1.3 times the state of the series."""
    given = {"replicas": 1, "sizing": {}, "config": {}, "autoscaling": {}} | GIVEN[name]
    config, sizing = given["config"], given["sizing"]
    state = sizing.get("stateBytes") or (1792 if config.get("model", {}).get("variant") == "lean" else 33792)
    pods, workers = given["autoscaling"].get("minReplicas", given["replicas"]), config.get("workers", 1)
    options = {"machines": pods, "workers": workers, "page_mib": {"page": 1024, "platform": 512}.get(name, 0)}
    memory = capacity.memory(sizing.get("series", 1000), state, **options)
    resources = daemon(name)["resources"]
    assert resources["requests"]["memory"] == f"{memory.usual}Mi"
    assert resources["limits"] == {"memory": f"{memory.most}Mi"}
    assert resources["requests"]["cpu"] == f"{250 + 1000 * workers}m"


def test_outgoing_connections_are_limited_to_what_is_needed() -> None:
    """With a list of rules: these, names and the ports of the brokers; without one, all are allowed."""
    policy = only("secured", "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    found = {(port["protocol"], port["port"]) for rule in policy["egress"] for port in rule["ports"]}
    assert found == {("UDP", 53), ("TCP", 53), ("TCP", 9093), ("TCP", 8081)}
    assert only("default", "NetworkPolicy")["spec"]["policyTypes"] == ["Ingress"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("config.kafka.bootstrap_server=kafka:9092", "bootstrap_server"),
        ("config.model.variant=tiny", "config/model/variant"),
        ("config.kafka.instance=one", "config/kafka/instance"),
        ("config.kafka.sasl_password=secret", "config/kafka/sasl_password"),
        ("config.log=sqlite", "config/log"),
        ("config.metrics.port=0", "config/metrics/port"),
        ("config.input=null", "input"),
        ("replica=2", "replica"),
        ("replicas=0", "replicas"),
        ("kernelCache.size=many", "kernelCache/size"),
        ("secrets[0].key=password", "secrets"),
        ("autoscaling.enabled=true", "autoscaling.maxReplicas is missing"),
        ("page.tokenSecret=page", "set config.page.enabled"),
        ("page.ingress.host=forecasts.example", "needs page.tokenSecret"),
        ("config.page.enabled=true,config.page.port=9109,config.workers=2", "config.page.port 9109 is a port"),
        ("config.metrics.enabled=false", "the probes need the server of metrics"),
        ("image.digest=0123", "image/digest"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(value: str, words: str) -> None:
    """Unknown names and values, of the configuration too, are refused before anything is installed."""
    assert words.replace("/", ".") in refusal("--set", value).replace("/", ".")


def test_what_a_platform_team_sets_is_where_it_belongs() -> None:
    """Names, labels, digest, account, spread, variables, Ingress, objects of its own, and the trigger's credentials."""
    objects = [each for each in manifests("platform") if each["kind"] != "ExternalSecret"]
    assert all(each["metadata"]["name"].startswith("forecasts") for each in objects)
    common = {"team": "data", "app.kubernetes.io/part-of": "plant", "app.kubernetes.io/name": "streamrnn"}
    labels = [each["metadata"]["labels"] for each in objects] + [template("platform")["metadata"]["labels"]]
    assert [each for each in labels if not common.items() <= each.items()] == []
    assert labels[-1]["sidecar.istio.io/inject"] == "false"
    image = f"registry.example/streamrnn@sha256:{'0123456789abcdef' * 4}"
    specification = pod("platform")
    containers = specification["initContainers"] + specification["containers"]
    assert {each["image"] for each in containers} == {image}
    assert of_kind("platform", "ServiceAccount") == []
    assert specification["serviceAccountName"] == "forecasts-runner"
    assert [each["topologyKey"] for each in specification["topologySpreadConstraints"]] == [
        "topology.kubernetes.io/zone"
    ]
    assert daemon("platform")["envFrom"] == [{"configMapRef": {"name": "proxies"}}]
    (added,) = of_kind("platform", "ExternalSecret")
    assert added["metadata"]["labels"] == {"release": "streamrnn"}
    assert only("platform", "ServiceMonitor")["spec"]["endpoints"][0]["scrapeTimeout"] == "20s"
    (trigger,) = only("platform", "ScaledObject")["spec"]["triggers"]
    assert trigger["authenticationRef"] == {"name": "prometheus-token"}
    assert trigger["metadata"]["authModes"] == "bearer"
    folders = [each["metadata"].get("annotations") for each in of_kind("platform", "ConfigMap")]
    assert folders.count({"grafana_folder": "Forecasts"}) == len(folders) - 1


def test_an_ingress_leads_to_the_page() -> None:
    """Host, class, certificate and annotations as given; its backend is the Service of the page and a port of it."""
    ingress = only("platform", "Ingress")
    assert ingress["metadata"]["annotations"] == {"nginx.ingress.kubernetes.io/affinity": "cookie"}
    specification = ingress["spec"]
    assert specification["ingressClassName"] == "nginx"
    assert specification["tls"] == [{"hosts": ["forecasts.example.com"], "secretName": "forecasts-tls"}]
    (rule,) = specification["rules"]
    (path,) = rule["http"]["paths"]
    assert (rule["host"], path["path"]) == ("forecasts.example.com", "/")
    (service,) = [each for each in of_kind("platform", "Service") if each["metadata"].get("annotations")]
    backend = path["backend"]["service"]
    assert backend["name"] == service["metadata"]["name"]
    assert backend["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}
    assert of_kind("page", "Ingress") == []


def test_a_long_name_of_a_release_has_room_for_what_kubernetes_appends() -> None:
    """The pods have the name, a hyphen and a hash in one label, which has 63 characters."""
    release = "a" * 40 + "-" + "b" * 12
    objects = parsed(helm("template", release, CHART).stdout)
    (name,) = {each["metadata"]["name"] for each in objects}
    assert len(name + "-0123456789") <= 63
    assert name.startswith("a" * 40)


def test_the_examples_of_the_guide_are_valid(tmp_path: Path) -> None:
    """Each example of values is rendered, together they configure what the guide is about, and names of keys exist."""
    guide = ROOT / "docs/how-to/kubernetes.md"
    examples = [block.text for block in blocks(guide) if block.language == "yaml"]
    kinds = set()
    for number, example in enumerate(examples):
        assert example.startswith("# values.yaml\n")
        path = tmp_path / f"{number}.yaml"
        path.write_text(example)
        kinds |= {each["kind"] for each in parsed(render("--values", path))}
    assert len(examples) == 6
    assert kinds >= CRDS | {"Ingress"}
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    named = re.findall(r"`((?:sizing|kernelCache|networkPolicy|autoscaling|monitoring)\.\w+)", guide.read_text())
    assert named
    assert [name for name in named if name.split(".")[1] not in values[name.split(".")[0]]] == []


def test_plain_manifests_are_those_of_the_chart() -> None:
    """deploy/kubernetes/streamrnn.yaml is what `make manifests` writes, and valid."""
    recipe = re.search(r"^manifests:.*\n\t(.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    command, target = recipe[1].split(" > ")
    made = helm(*(word.replace("deploy/", f"{ROOT}/deploy/") for word in command.split()[1:]))
    text = (ROOT / target).read_text()
    assert made.stdout == text
    assert len(parsed(text)) == 6


def test_the_first_container_fills_the_volume_of_kernels_once(tmp_path: Path) -> None:
    """Its command copies each folder of the image that is not there, also after it was interrupted, and no other."""
    (container,) = pod("default")["initContainers"]
    (mount,) = container["volumeMounts"]
    image, volume = tmp_path / "image", tmp_path / "volume"
    for folder in ("kernels-new", "kernels-old", "other"):
        (image / folder).mkdir(parents=True)
        (image / folder / "code.nbi").write_text("of the image")
    (volume / "kernels-old").mkdir(parents=True)
    (volume / "kernels-old" / "code.nbi").write_text("of this processor")
    (volume / "kernels-new.part").mkdir()
    (volume / "kernels-new.part" / "code.nbi").write_text("half")
    *shell, script = container["command"]
    script = script.replace("/var/cache/streamrnn", str(image)).replace(f"{mount['mountPath']}/", f"{volume}/")
    for _ in range(2):
        subprocess.run([*shell, script], check=True)
        found = {str(path.relative_to(volume)): path.read_text() for path in volume.rglob("*.nbi")}
        assert found == {"kernels-new/code.nbi": "of the image", "kernels-old/code.nbi": "of this processor"}
    for path in sorted(image.rglob("*"), reverse=True):  # an image without compiled code
        path.rmdir() if path.is_dir() else path.unlink()
    subprocess.run([*shell, script], check=True)


class Scraping(Prometheus):
    """Prometheus as its operator configures it for a ServiceMonitor and one pod, at `target`."""

    def __init__(self, folder: Path, monitor: Manifest, target: str) -> None:
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        (endpoint,) = monitor["spec"]["endpoints"]
        names = {"target_label": "targetLabel", "replacement": "replacement"}
        relabelings = [
            {name: each[theirs] for name, theirs in names.items() if theirs in each} for each in endpoint["relabelings"]
        ]
        labels = {"namespace": "forecasts", "service": "streamrnn", "pod": "streamrnn-0"}
        job = {
            "job_name": "serviceMonitor/forecasts/streamrnn/0",
            "static_configs": [{"targets": [target], "labels": labels}],
            "relabel_configs": relabelings,
        }
        times = {"scrape_interval": "500ms", "scrape_timeout": "500ms"}
        (folder / "prometheus.yml").write_text(yaml.safe_dump({"global": times, "scrape_configs": [job]}))
        self._log = folder / "prometheus.log"
        options = [f"--web.listen-address={self.address}", "--storage.tsdb.path=data", "--config.file=prometheus.yml"]
        with self._log.open("wb") as file:
            self._process = subprocess.Popen(
                ["prometheus", *options], cwd=folder, stdout=file, stderr=file,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  # it takes no lock: one system call
            )  # fmt: skip


@contextmanager
def running_pod(folder: Path, fork_server: ForkServer) -> Iterator[str]:
    """Run the daemon with the arguments and the environment of its container, over SQLite; yield its address."""
    container, (port,) = daemon("monitored"), free_ports(1)
    (folder / "streamrnn.yaml").write_text(configuration("monitored"))
    with closing(SqliteLog(path=folder / "streamrnn.db", app="producer")) as log:
        log.create([Topic("sensors", partitions=1)])
        values = [b'{"temperature": %d}' % (70 + number % 5) for number in range(200)]
        start = 1_700_000_000_000
        log.append("sensors", [Record("sensors", 0, 0, start + 60_000 * n, b"pump-7", v) for n, v in enumerate(values)])
    variables = environment(container, "streamrnn-0")
    del variables["NUMBA_CACHE_DIR"]  # a volume there; the kernels of this machine here
    arguments = [word.replace("/etc/streamrnn", str(folder)) for word in container["args"]]
    here = ["log=sqlite", f"sqlite.path={folder}/streamrnn.db", f"metrics.port={port}"]
    process = fork_server.start(
        [*arguments, *(part for each in here for part in ("--set", each))],
        folder / "daemon.log", folder=folder, environment={**own_environment(), **variables},
    )  # fmt: skip
    try:
        yield f"127.0.0.1:{port}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (folder / "daemon.log").read_text()
    finally:
        process.kill()


def status(address: str, path: str) -> int:
    """Return the status of a request, as the kubelet probes; 0 if nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def test_a_pod_answers_its_probes_and_the_trigger(tmp_path: Path, fork_server: ForkServer) -> None:
    """Started as in its container, the daemon answers every probe with 200, and the query of KEDA has a value."""
    absent = missing_prometheus()
    if absent:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(absent)
    container = daemon("monitored")
    probes = {probe: container[probe]["httpGet"]["path"] for probe in container if probe.endswith("Probe")}
    assert probes.keys() == {"startupProbe", "livenessProbe", "readinessProbe"}
    assert probes["livenessProbe"] != probes["readinessProbe"]  # a broker that is away restarts no pod
    query = only("monitored", "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    monitor = only("monitored", "ServiceMonitor")
    with running_pod(tmp_path, fork_server) as address, Scraping(tmp_path, monitor, address) as server:
        for probe, path in probes.items():
            until(lambda path=path: status(address, path) == 200, f"200 of {probe}", 240)  # type: ignore[misc]
        until(lambda: bool(server.ask(query)), "a value of the trigger")
        ((labels, lag),) = server.ask(query)
        assert (labels, lag >= 0) == ({}, True)
        ((labels, _),) = server.ask("streamrnn_ready")
        assert labels["job"] == "streamrnn"
