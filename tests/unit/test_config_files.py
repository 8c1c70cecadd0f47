"""The example configurations load, and the annotated one is complete and true."""

import re
from pathlib import Path

import pytest
import yaml

from streamrnn.errors import ConfigError
from streamrnn.settings import Settings, load

CONFIG = Path(__file__).parents[2] / "config"
FILES = sorted(CONFIG.glob("*.yaml"))
SECRETS = {"secure": {"STREAMRNN_KAFKA__SASL_PASSWORD": "from the secrets file"}}


pytestmark = pytest.mark.usefixtures("bare_environment")


def test_the_examples_are_there() -> None:
    """The files that the documentation names exist."""
    assert [file.stem for file in FILES] == ["accurate", "kafka-minimal", "lean", "secure", "sqlite", "streamrnn"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_example_loads(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each example is a whole configuration, but for the secrets that it tells to put elsewhere."""
    for name, value in SECRETS.get(file.stem, {}).items():
        monkeypatch.setenv(name, value)
    assert load(file, []).input.topics == ("sensors",)


def test_the_annotated_example_holds_every_key_at_its_default() -> None:
    """Its values are the defaults, so a copy of the file changes nothing but the topics."""
    written = yaml.safe_load((CONFIG / "streamrnn.yaml").read_text())
    keys = {name: set(value) if isinstance(value, dict) else None for name, value in written.items()}
    described = Settings().model_dump()
    assert keys == {name: set(value) if isinstance(value, dict) else None for name, value in described.items()}
    assert load(CONFIG / "streamrnn.yaml", []) == load(None, ["input.topics=sensors"])


def test_no_example_holds_a_password() -> None:
    """Passwords are null or absent in all of them."""
    for file in FILES:
        found = re.findall(r"^ *(\w*password|token): *(\S+)", file.read_text(), re.MULTILINE)
        assert [value for _, value in found if value != "null"] == []


def test_the_ranges_in_the_annotated_example_are_those_of_the_settings() -> None:
    """A range such as `1 to 1024` in a comment is the range that the key allows: outside of it is refused."""
    section, checked = "", 0
    for line in (CONFIG / "streamrnn.yaml").read_text().splitlines():
        section = line.partition(":")[0] if re.match(r"\w+:", line) else section
        match = re.match(r" +(\w+): [\d.]+ +# ([\d.]+) to ([\d.]+)", line)
        if match is None:
            continue
        key, least, most = match.groups()
        for inside in (least, most):
            topics = ["input.topics=a", "learning.every=1", "learning.most=1000000"]
            assert load(None, [*topics, f"{section}.{key}={inside}"])
        for outside in (int(least) - 1, int(most) + 1):
            with pytest.raises(Exception, match=f"from {least} to {most}"):
                load(None, ["input.topics=a", f"{section}.{key}={outside}"])
        checked += 1
    assert checked == 11


def test_a_list_under_the_key_of_one_horizon_is_refused_with_the_right_key(tmp_path: Path) -> None:
    """The key that takes several is named."""
    file = tmp_path / "streamrnn.yaml"
    file.write_text("input: {topics: x}\nforecast:\n  horizon: [1, 12]\n")
    with pytest.raises(ConfigError, match=r"line 3\): .* such as 168 or 24h; several are forecast.horizons"):
        load(file)
