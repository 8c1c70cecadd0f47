"""Where values come from: precedence, names, secrets, and the messages about them."""

import itertools
import os
import subprocess
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from streamrnn.errors import ConfigError
from streamrnn.settings import Settings, load, to_yaml

SECRET = "hunter2-très-secret"
SASL = ["kafka.security_protocol=SASL_SSL", "kafka.sasl_mechanism=PLAIN", "kafka.sasl_username=me"]


class Sources:
    """A place to write a key in each source, and then to load."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file, self.secrets, self.overrides = folder / "streamrnn.yaml", folder / "secrets", list[str]()
        self.secrets.mkdir()
        self.file.write_text("input: {topics: [sensors]}\n")
        self.environment = monkeypatch
        monkeypatch.setenv("STREAMRNN_SECRETS_DIR", str(self.secrets))

    def write(self, source: str, value: str) -> None:
        """Give `app` a value in one source; the default needs no writing."""
        places: dict[str, Callable[[], object]] = {
            "default": lambda: None,
            "yaml": lambda: self.file.write_text(f"app: {value}\n" + self.file.read_text()),
            "secrets": lambda: (self.secrets / "streamrnn_app").write_text(value),
            "environment": lambda: self.environment.setenv("STREAMRNN_APP", value),
            "command-line": lambda: self.overrides.append(f"app={value}"),
        }
        places[source]()

    def load(self, *overrides: str) -> Settings:
        """Load from all of the sources."""
        return load(self.file, [*self.overrides, *overrides])

    def problem(self, *overrides: str) -> str:
        """Return the message of a configuration that must be refused."""
        with pytest.raises(ConfigError) as caught:
            self.load(*overrides)
        return str(caught.value)


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    """Make sources of which only the YAML file says something: the topics."""
    for name in os.environ:
        if name.startswith("STREAMRNN_"):
            monkeypatch.delenv(name)
    return Sources(tmp_path, monkeypatch)


RANKS = ["command-line", "environment", "secrets", "yaml", "default"]


@pytest.mark.parametrize(
    ("winner", "loser"), [pytest.param(*pair, id="-over-".join(pair)) for pair in itertools.combinations(RANKS, 2)]
)
def test_precedence(sources: Sources, winner: str, loser: str) -> None:
    """Command line wins over environment over secrets files over YAML over default."""
    sources.write(loser, "loser")
    sources.write(winner, "winner")
    assert sources.load().app == "winner"


def test_sources_complete_each_other_within_a_section(sources: Sources) -> None:
    """A source that says one key of a section leaves the other keys to the other sources."""
    sources.file.write_text("input: {topics: [sensors], key: id}\nmodel: {layers: 2}\n")
    sources.environment.setenv("STREAMRNN_MODEL__CELL", "lstm")
    (sources.secrets / "STREAMRNN_MODEL__SEED").write_text("7\n")
    settings = sources.load("model.hidden_size=8")
    assert settings.model.model_dump() == {
        "variant": "full", "cell": "lstm", "hidden_size": 8, "layers": 2, "base": "default", "seed": 7,
        "encoder": "recurrent", "context": 16, "decay": False, "joint": False,
    }  # fmt: skip
    assert settings.input.key == ("id",)


def test_the_last_override_wins(sources: Sources) -> None:
    """--set repeated for one key: the last one counts."""
    assert sources.load("app=first", "app=second").app == "second"


@pytest.mark.parametrize("text", ["a,b", "a, b", '["a", "b"]', ' ["a","b"]'])
def test_lists_from_text_are_json_or_separated_by_commas(sources: Sources, text: str) -> None:
    """Both ways to write a list in one line give the same list."""
    sources.environment.setenv("STREAMRNN_INPUT__FIELDS", text)
    assert sources.load().input.fields.only == ("a", "b")


def test_an_empty_text_leaves_a_key_out(sources: Sources) -> None:
    """An empty environment variable takes back what YAML says of a key that may be absent."""
    sources.file.write_text("input: {topics: [sensors], key: id}\n")
    sources.environment.setenv("STREAMRNN_INPUT__KEY", "")
    assert sources.load().input.key == ()


def test_yaml_scalars_are_text(sources: Sources) -> None:
    """What YAML 1.1 would turn into booleans, octal numbers or strings keeps its meaning."""
    sources.file.write_text(
        "app: 123\ninput: {topics: [on, 0777], fields: [no, 12:30, 'null']}\nlearning: {learning_rate: 1e-3}\n"
        "output: {state: '{topic}.state'}"
    )
    settings = sources.load()
    assert settings.app == "123"
    assert settings.input.topics == ("on", "0777")
    assert settings.input.fields.only == ("no", "12:30", "null")
    assert settings.learning.learning_rate == 0.001


def test_empty_sections_and_an_empty_file_say_nothing(sources: Sources) -> None:
    """A section whose keys are all commented out is as good as absent."""
    sources.file.write_text("kafka:\n  # client: auto\ninput: {topics: [sensors]}\n")
    assert sources.load() == load(None, ["input.topics=sensors"])
    sources.file.write_text("# nothing\n")
    assert sources.load("input.topics=sensors") == load(None, ["input.topics=sensors"])


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("kafka: {bootstrap_server: x}", "kafka.bootstrap_servers (STREAMRNN_KAFKA__BOOTSTRAP_SERVERS)"),
        ("model:\n  hiden_size: 3", "model.hidden_size (STREAMRNN_MODEL__HIDDEN_SIZE)"),
        ("ap: x", "app (STREAMRNN_APP)"),
    ],
)
def test_a_misspelt_key_gets_a_suggestion(sources: Sources, written: str, meant: str) -> None:
    """An unknown key is refused with its line and the key that it resembles."""
    sources.file.write_text(f"input: {{topics: [sensors]}}\n{written}\n")
    line = 2 + written.count("\n")
    message = sources.problem()
    assert f"({sources.file}, line {line}): is not a key; did you mean {meant}?" in message


def test_a_mistake_in_a_group_has_its_own_line(sources: Sources) -> None:
    """A value and a key within a group such as `input.time` are named with the line on which they stand."""
    sources.file.write_text("input:\n  topics: [a]\n  time:\n    from: ts\n    unit: sec\n  fields:\n    onyl: x\n")
    message = sources.problem()
    assert f"input.time.unit = 'sec' ({sources.file}, line 5): allowed are" in message
    assert f"input.fields.onyl ({sources.file}, line 7): is not a key; did you mean input.fields.only" in message


def test_an_unlike_key_gets_no_suggestion(sources: Sources) -> None:
    """A key that resembles none is refused all the same."""
    sources.file.write_text("input: {topics: [sensors]}\nzzzz: {qqqq: 1}\n")
    assert "zzzz.qqqq" in sources.problem()
    assert "did you mean" not in sources.problem()


def test_an_unknown_environment_variable_is_refused(sources: Sources) -> None:
    """A STREAMRNN_ variable that is no key is named, with the variable that it resembles."""
    sources.environment.setenv("STREAMRNN_METRICS_PORT", "9200")
    message = sources.problem()
    assert "environment variable STREAMRNN_METRICS_PORT" in message
    assert "did you mean metrics.port (STREAMRNN_METRICS__PORT)?" in message


def test_an_unknown_secrets_file_is_refused_and_a_foreign_one_is_not_read(sources: Sources) -> None:
    """In the secrets directory, names that begin with streamrnn_ are ours; others are left alone."""
    (sources.secrets / "database_password").write_bytes(b"\xff")
    assert sources.load()
    (sources.secrets / "streamrnn_kafka__sasl_pasword").write_text(SECRET)
    message = sources.problem()
    assert "streamrnn_kafka__sasl_pasword): is not a key; did you mean kafka.sasl_password" in message
    assert SECRET not in message


def test_what_kubernetes_sets_for_a_service_of_our_name_is_no_key(sources: Sources) -> None:
    """Service links are passed over: a Service called streamrnn does not stop the daemon."""
    for name, value in {
        "STREAMRNN_SERVICE_HOST": "10.0.0.1",
        "STREAMRNN_SERVICE_PORT": "9108",
        "STREAMRNN_SERVICE_PORT_METRICS": "9108",
        "STREAMRNN_PORT": "tcp://10.0.0.1:9108",
        "STREAMRNN_PORT_9108_TCP": "tcp://10.0.0.1:9108",
        "STREAMRNN_PORT_9108_TCP_PROTO": "tcp",
        "STREAMRNN_PORT_9108_TCP_PORT": "9108",
        "STREAMRNN_PORT_9108_TCP_ADDR": "10.0.0.1",
        "STREAMRNN_METRICS_PORT": "udp://10.0.0.1:9108",
    }.items():
        sources.environment.setenv(name, value)
    assert sources.load() == load(None, ["input.topics=sensors"])


def test_a_section_is_not_a_key(sources: Sources) -> None:
    """A value for a whole section is refused with an example of its keys."""
    assert "kafka (--set): is a section; set its keys, such as kafka.bootstrap_servers" in sources.problem("kafka=x")


@pytest.mark.parametrize("text", ["app: a\napp: b\n", "model: {cell: gru, cell: lstm}\n", "app: a\n'app': b\n"])
def test_a_key_written_twice_is_refused(sources: Sources, text: str) -> None:
    """YAML's last-one-wins loses a value silently; here it is a problem."""
    sources.file.write_text(text)
    assert "is written twice" in sources.problem()


def test_two_secrets_files_for_one_key_are_refused(sources: Sources) -> None:
    """Upper and lower case of one name: none of the two is preferred in silence."""
    (sources.secrets / "streamrnn_app").write_text("a")
    (sources.secrets / "STREAMRNN_APP").write_text("b")
    assert "delete one of the two files" in sources.problem()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"- a list", "must contain sections and keys"),
        (b"just text", "must contain sections and keys"),
        (b"app: [unclosed", "line 1, column 15: is not valid YAML"),
        (b"app: \xff", "is not UTF-8 at byte 5"),
        (b"app: \x00", "is not valid YAML"),
        (b"a: 1\n---\nb: 2", "a file must be one document"),
        (b"model: {seed: !!int x}", "is not valid YAML"),
        (b"model: {seed: !!bool x}", "line 1, column 15: is not valid YAML: values that begin with *, & or ! need"),
        (b"kafka: {sasl_password: &abc }", "line 1, column 24: is not valid YAML: values that begin with *, & or !"),
        (b"a: &a [x]\nb: *a", "line 1, column 4: is not valid YAML: values that begin with *, & or ! need quotes"),
        (b"experts: " + b"[" * 30, "line 1, column 29: is not valid YAML: more than 20 nested lists or mappings"),
        (b"experts: " + b"[" * 100_000 + b"]" * 100_000, "more than 20 nested lists or mappings"),
        (b"experts:\n- river: a.B\n  river: c.D", "line 3, column 3: is not valid YAML: a key is written twice"),
        (b"input:\n\ttopics: a", "line 2, column 1: is not valid YAML: a tab; indent with spaces"),
        (b"#" * 1024 * 1024 + b"#", "is larger than 1,048,576 bytes"),
    ],
)
def test_a_file_that_is_not_yaml_is_named(sources: Sources, content: bytes, words: str) -> None:
    """The message names the file and, where it can, line and column."""
    sources.file.write_bytes(content)
    message = sources.problem()
    assert message.startswith(str(sources.file))
    assert words in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            'kafka: {bootstrap_servers: "${BROKERS}"}',
            "kafka.bootstrap_servers (FILE, line 1): ${BROKERS} is not replaced",
        ),
        ('kafka:\n  sasl_password: "${PASSWORD:-s3cret}"', "(FILE, line 2): ${PASSWORD} is not replaced"),
        ("input: {topics: [a, 'b-${STAGE}']}", "set the environment variable STREAMRNN_INPUT__TOPICS"),
    ],
)
def test_variables_in_the_file_are_refused(sources: Sources, content: str, words: str) -> None:
    """What looks like a variable of Compose or a shell is not a value; the message names what to set instead."""
    sources.file.write_text(content)
    assert words.replace("FILE", str(sources.file)) in sources.problem()
    assert "s3cret" not in sources.problem()


def test_few_aliases_cannot_stand_for_many_values(sources: Sources) -> None:
    """A file of aliases of aliases is refused at the first, in little memory."""
    lines = [f"k{i + 1}: &k{i + 1} [{', '.join([f'*k{i}'] * 10)}]" for i in range(30)]
    sources.file.write_text("\n".join(["k0: &k0 x", *lines]))
    tracemalloc.start()
    message = sources.problem()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "line 1, column 5" in message
    assert peak < 5_000_000


def test_a_pipe_is_read_to_its_end(sources: Sources, tmp_path: Path) -> None:
    """A file may be a pipe, as a shell's `<(command)` is."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["/bin/sh", "-c", f"printf 'app: piped\ninput: {{topics: [a]}}' > {pipe}"]):
        assert load(pipe).app == "piped"


@pytest.mark.parametrize("place", ["yaml", "secrets"])
def test_a_pipe_that_nobody_writes_is_not_waited_for_for_ever(
    sources: Sources, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a time limit the file is named."""
    monkeypatch.setattr("streamrnn.settings.sources.PIPE_SECONDS", 0.05)
    path = sources.file if place == "yaml" else sources.secrets / "STREAMRNN_APP"
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    assert sources.problem().startswith(
        f"{path}: cannot be read: it is a pipe whose writer has not ended within 0.05 s"
    )


def test_an_endless_file_is_refused(tmp_path: Path) -> None:
    """A device is read up to the limit only."""
    with pytest.raises(ConfigError, match=r"/dev/zero: is larger than 1,048,576 bytes"):
        load(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a\0b", "contains a NUL character"), (b"\xff", "is not UTF-8 at byte 0"),
        (b"x" * (1024 * 1024 + 1), "is larger than 1,048,576 bytes"), (None, "cannot be read: Is a directory"),
    ],
)  # fmt: skip
def test_a_secrets_file_that_cannot_be_a_secret_is_named(sources: Sources, content: bytes | None, words: str) -> None:
    """Binary and huge files, and folders, are refused without a word of their contents."""
    path = sources.secrets / "STREAMRNN_KAFKA__SASL_PASSWORD"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    message = sources.problem()
    assert str(path) in message
    assert words in message
    assert len(message) < 300


def test_a_value_that_is_not_utf8_is_named(sources: Sources) -> None:
    """Arguments and variables of other encodings are refused at once, not where they are first printed."""
    sources.environment.setenv("STREAMRNN_APP", "a\udcff")
    assert sources.problem() == "environment variable STREAMRNN_APP: is not UTF-8"
    assert sources.problem("app=\udcff") == "--set app: is not UTF-8"


@pytest.mark.parametrize("key", ["experts", "forecast.horizons", "input.topics", "kafka.options"])
def test_deeply_nested_json_is_refused(sources: Sources, key: str) -> None:
    """A text with very many brackets is refused under its key, and quoted in part only."""
    message = sources.problem(f"{key}={'[' * 100_000}")
    assert key in message
    assert len(message) < 1000


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file is a problem, never an empty configuration."""
    with pytest.raises(ConfigError, match=r"absent\.yaml: does not exist; `streamrnn init` writes"):
        load(tmp_path / "absent.yaml", ["input.topics=sensors"])


def test_a_secrets_directory_that_is_named_must_exist(sources: Sources) -> None:
    """A wrong STREAMRNN_SECRETS_DIR is a problem; only the default directory may be absent."""
    sources.environment.setenv("STREAMRNN_SECRETS_DIR", str(sources.file))
    assert "STREAMRNN_SECRETS_DIR" in sources.problem()
    sources.environment.delenv("STREAMRNN_SECRETS_DIR")
    assert sources.load()


def test_an_override_without_equals_is_refused(sources: Sources) -> None:
    """The message repeats what can be a key, and no more: the rest may be a secret."""
    message = sources.problem(f"kafka.sasl_password:{SECRET}")
    assert message == "--set kafka.sasl_password: must be written --set section.key=value"


def test_a_secret_is_read_without_the_newline_that_ends_its_file(sources: Sources) -> None:
    """Other white space belongs to the secret."""
    (sources.secrets / "streamrnn_kafka__sasl_password").write_text(f" {SECRET} \n")
    password = sources.load(*SASL).kafka.sasl_password
    assert password is not None
    assert password.get_secret_value() == f" {SECRET} "


@pytest.mark.parametrize("key", ["sasl_password", "ssl_keyfile_password"])
def test_a_secret_is_masked_wherever_settings_are_shown(sources: Sources, key: str) -> None:
    """repr, str, JSON and the printed configuration show asterisks."""
    overrides = ["kafka.sasl_password=x", "kafka.ssl_certfile=c", "kafka.ssl_keyfile=k", f"kafka.{key}={SECRET}"]
    settings = sources.load(*SASL, *overrides)
    shown = [repr(settings), str(settings), f"{settings.kafka}", settings.model_dump_json(), to_yaml(settings)]
    assert [SECRET in text for text in shown] == [False] * 5
    assert "sasl_password: '**********'" in to_yaml(settings)


@pytest.mark.parametrize(
    "overrides",
    [
        [f"kafka.sasl_password={SECRET}"],
        [f"kafka.sasl_pasword={SECRET}"],
        [f"kafak={SECRET}"],
        [f"kafka={SECRET}"],
        [f"kafka.sasl_password={SECRET}", "kafka.ssl_cafile=x", "model.cell=x"],
        [*SASL, f"kafka.ssl_keyfile_password={SECRET}", "kafka.sasl_password=x"],
    ],
)
def test_a_secret_is_masked_in_messages(sources: Sources, overrides: Sequence[str]) -> None:
    """A message about a secret, or about a misspelt key that may be one, does not repeat it; nor does its traceback."""
    with pytest.raises(ConfigError) as caught:
        sources.load(*overrides)
    assert SECRET not in str(caught.getrepr(style="native", chain=True))


@pytest.mark.parametrize("quote", ["*{}", "&{}", "!{}", "!!{}", "'{}", "[{}", "{}: x", "{{{}: x}}"])
def test_a_secret_is_masked_when_the_yaml_around_it_is_broken(sources: Sources, quote: str) -> None:
    """Characters that mean something in YAML break a password apart; the message does not repeat the pieces."""
    word = "hunter2"
    sources.file.write_text(f"kafka:\n  sasl_password: {quote.format(word)}\n")
    with pytest.raises(ConfigError) as caught:
        sources.load()
    assert word not in str(caught.getrepr(style="native", chain=True))


@pytest.mark.parametrize(
    ("assignment", "section", "expected"),
    [
        ("input.key=['usage.idle'].x", "key", ("['usage.idle'].x",)),
        ('input.key=["usage.idle"].x', "key", ('["usage.idle"].x',)),
        ('input.key=["a", "b.c"]', "key", ("a", "b.c")),
        ("input.where=['usage.idle'].x == 1", "where", ("['usage.idle'].x == 1",)),
        ('input.where=["a == 1", "b == 2"]', "where", ("a == 1", "b == 2")),
    ],
)
def test_a_text_that_begins_like_a_list(assignment: str, section: str, expected: tuple[str, ...]) -> None:
    """A text is a list only if it is one of JSON: a path and a condition may begin with a bracket, too."""
    assert getattr(load(None, ["input.topics=a", assignment]).input, section) == expected


@pytest.mark.parametrize("pattern", ["[%d/%b/%Y:%H:%M:%S]", "[%d/%b/%Y:%H:%M:%S %z]", "%d.%m.%Y %H:%M %z"])
def test_patterns_of_times(pattern: str) -> None:
    """Times of web servers stand in brackets, and a time may have an offset."""
    assert load(None, ["input.topics=a", f"input.time.format={pattern}"]).input.time.format == (pattern,)
