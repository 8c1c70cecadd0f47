"""River experts: looked up by name, members of the mixture, saved and loaded without running foreign code."""

import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from river.time_series import HoltWinters
from support.streams import bits, run, seasonal, small

from streamrnn.core.experts import river_experts
from streamrnn.core.experts.river_experts import RiverExperts, specified
from streamrnn.core.experts.safe_pickle import dumped, loaded
from streamrnn.errors import ConfigError, StateError
from streamrnn.settings import load

HOLT = {"river": "time_series.HoltWinters", "alpha": 0.3}
BAYES = {"river": "linear_model.BayesianLinearRegression"}
ARIMA = {"river": "time_series.SNARIMAX", "p": 6, "d": 1, "q": 2}
LINEAR = {"river": "linear_model.LinearRegression"}
ALL = [HOLT, BAYES, ARIMA, LINEAR]


def copied(arrays: dict[str, Any]) -> dict[str, Any]:
    """Return copies, as a snapshot has."""
    return {name: array.copy() for name, array in arrays.items()}


@pytest.mark.parametrize("rows", [1, 33, 50])
def test_saved_and_loaded_is_never_interrupted(rows: int) -> None:
    """Save, load into a new forecaster, continue: the same bits, for forecasters and regressors, page by page."""
    values = seasonal(80, 5)
    expected = run(small(experts=ALL), values)
    broken, resumed = small(experts=ALL), small(experts=ALL)
    run(broken, values[:rows])
    resumed.load(copied(broken.save_shared()), [copied(broken.save_rows(i, 2)) for i in (0, 2, 4)], broken.names)
    assert bits(run(resumed, values[rows:], first=rows)) == bits(expected[rows:])


def test_no_look_ahead() -> None:
    """Changing the observations from row t on changes no forecast made before t: no label is used early."""
    values = seasonal(80, 2)
    changed = values.copy()
    changed[60:] = changed[60:] * -3 + 1000
    first, second = (run(small(experts=ALL), each) for each in (values, changed))
    assert bits(first[:60]) == bits(second[:60])


def test_a_better_expert_gets_the_weight() -> None:
    """On a noisy season of 31 rows, which no other expert averages, Holt-Winters of that season lowers the error."""
    rng = np.random.default_rng(4)
    values = 10 * np.tile(rng.normal(size=31), 40)[:, None] + 10 * rng.normal(size=(1240, 1))
    season = {**HOLT, "alpha": 0.05, "beta": 0.01, "gamma": 0.1, "seasonality": 31}

    def error(**changes: Any) -> float:
        medians = np.array([f.quantiles[0, :, 2] for f in run(small(enabled=False, seasons=(), **changes), values)])
        return float(np.abs(values[6:] - medians[:-6, [2]])[600:].mean())

    assert error(experts=[season]) < 0.9 * error()


def test_a_regressor_learns_the_change_over_its_horizon() -> None:
    """Noise that recurs after six rows is forecast by the regressor of each horizon, in units."""
    rng = np.random.default_rng(1)
    values = np.tile(rng.normal(size=6), 60)[:, None] + 0.01 * rng.normal(size=(360, 1))
    forecaster = small(experts=[BAYES], enabled=False)
    run(forecaster, values)
    outputs = forecaster._bank.ledger.guests[0, :, 0] * (10 / 32767)
    last, unit = values[-1, 0], forecaster._bank.series.unit[0]
    assert last + outputs[0] * unit[0] == pytest.approx(values[-6, 0], abs=0.1)  # one row ahead: as one season ago
    assert last + outputs[1 + 359 % 3] * unit[1 + 359 % 3] == pytest.approx(values[-4, 0], abs=0.1)  # three rows ahead


class Broken:
    """A model with a given failure."""

    def __init__(self, fail: Callable[[], float]) -> None:
        self._fail = fail

    def learn_one(self, value: float) -> None:
        """Learn nothing."""

    def forecast(self, horizon: int) -> list[float]:
        """Fail, or return the given number."""
        return [self._fail()] * horizon


def raised() -> float:
    """Fail as a model does after too few observations."""
    raise IndexError


@pytest.mark.parametrize(("fail", "replaced"), [(lambda: float("nan"), True), (lambda: 1 / 0, True), (raised, False)])
def test_failures_are_counted_and_replaced_by_persistence(fail: Callable[[], float], replaced: bool) -> None:
    """A failing model forecasts persistence; after an arithmetic error it is replaced by a new one."""
    forecaster = small(experts=[HOLT, ARIMA], enabled=False)
    run(forecaster, seasonal(40, 1))
    forecaster.take_counts()
    broken = Broken(fail)
    forecaster._river._models[0][0][0] = broken
    (outputs,) = run(forecaster, seasonal(41, 1)[40:], first=40)
    assert np.isfinite(outputs.quantiles).all()
    assert not forecaster._bank.ledger.guests[0, 0, 0]
    assert forecaster._bank.ledger.guests[0, 0, 1]  # the other model has forecast
    assert forecaster.take_counts().expert_failures == 1
    assert forecaster.take_counts().expert_failures == 0
    assert isinstance(forecaster._river._models[0][0][0], HoltWinters if replaced else Broken)


def test_hostile_values_leave_everything_finite() -> None:
    """With huge, tiny and constant values the published quantiles are finite and monotone."""
    rng = np.random.default_rng(5)
    hostile = np.stack([rng.choice([0.0, 1e37, -1e37], 120), np.zeros(120), np.exp(np.arange(120) / 2)], 1)
    for forecast in run(small(experts=[{**HOLT, "multiplicative": True}, *ALL]), hostile):
        assert np.isfinite(forecast.quantiles).all()
        assert (np.diff(forecast.quantiles, axis=2) >= 0).all()


@pytest.mark.parametrize(
    ("expert", "words"),
    [
        ({"river": "time_series.HoltSummers"}, "'time_series.HoltSummers': river has no forecaster or regressor"),
        ({"river": "no_such_module.X"}, "river has no forecaster or regressor of that name"),
        ({"river": "HoltWinters"}, "river has no forecaster or regressor of that name"),
        ({"river": "..os.path"}, "river has no forecaster or regressor of that name"),
        ({"river": "tree.HoeffdingTreeClassifier"}, "river has no forecaster or regressor of that name"),
        ({"river": "time_series.HoltWinters"}, "refuses its arguments {}: .*'alpha'"),
        ({**HOLT, "omega": 1}, "refuses its arguments .*'omega'"),
        ({**HOLT, "alpha": "much"}, "forecasts nothing after 200 rows"),
        ({"river": "linear_model.PARegressor"}, "cannot be saved and loaded: builtins.getattr is not allowed"),
    ],
)
def test_an_expert_that_cannot_be_used_is_refused(expert: dict[str, Any], words: str) -> None:
    """An unusable class or argument is refused at the start, under its key, with exit code 78."""
    with pytest.raises(ConfigError, match=rf"^experts\[1\]: .*{words}") as caught:
        small(experts=[HOLT, expert])
    assert caught.value.exit_code == 78


def test_a_random_expert_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is not deterministic would make restarts inexact."""
    dice = np.random.default_rng()
    monkeypatch.setattr(HoltWinters, "forecast", lambda _, horizon: dice.random(horizon).tolist())
    with pytest.raises(ConfigError, match="does not forecast the same"):
        specified([{**HOLT, "alpha": 0.123}], seed=0)


def test_the_default_seed_is_that_of_the_model() -> None:
    """A class with a `seed` gets model.seed unless the expert has one."""
    tree = {"river": "tree.HoeffdingAdaptiveTreeRegressor", "grace_period": 500}
    (own,) = specified([tree], seed=7)
    (given,) = specified([{**tree, "seed": 5}], seed=7)
    assert (dict(own.arguments)["seed"], dict(given.arguments)["seed"]) == (7, 5)


def test_river_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without river the message says how to install it."""
    river_experts._class.cache_clear()
    monkeypatch.setitem(sys.modules, "river", None)
    with pytest.raises(ConfigError, match=r"experts\[0\]: needs river, .*pip install 'streamrnn\[river\]'"):
        small(experts=[HOLT])
    river_experts._class.cache_clear()


SCRIPT = """
import sys
from support.streams import run, seasonal, small
run(small(), seasonal(5, 1))
assert "river" not in sys.modules
from unit.test_river_experts import digest_with_river
print(digest_with_river())
"""


def digest_with_river() -> str:
    """Return a digest of forecasts with experts of river."""
    forecaster = small(experts=[ARIMA, LINEAR])
    return hashlib.sha256(b"".join(bits(run(forecaster, seasonal(60, 2))))).hexdigest()


@pytest.mark.long
def test_forecasts_do_not_depend_on_the_hash_seed() -> None:
    """Forecasts are those of a process with another hash seed; without experts river is not imported."""
    tests = Path(__file__).parents[1]
    other = "1" if os.environ.get("PYTHONHASHSEED") == "2" else "2"
    environment = {
        **os.environ,
        "PYTHONHASHSEED": other,
        "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)]),
    }
    done = subprocess.run([sys.executable, "-c", SCRIPT], check=True, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == digest_with_river()


class Attack:
    """An object whose pickle calls `function`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


def lookup(module: str, name: str) -> bytes:
    """Return a pickle that looks up a name in a module."""
    return b"\x80\x04" + b"".join(b"\x8c" + bytes([len(x)]) + x.encode() for x in (module, name)) + b"\x93."


def test_a_pickle_that_calls_something_is_refused(tmp_path: Path) -> None:
    """State with a call in a pickle is refused, and the call is not made."""
    victim = tmp_path / "victim"
    victim.touch()
    forecaster = small(experts=[HOLT])
    run(forecaster, seasonal(5, 1))
    page = copied(forecaster.save_rows(0, 1))
    page["guests"] = dumped([[Attack(os.remove, str(victim))]])
    with pytest.raises(StateError, match=r"\w+\.remove is not allowed"):
        small(experts=[HOLT]).load(copied(forecaster.save_shared()), [page], forecaster.names)
    assert victim.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"), ("builtins", "getattr"), ("os", "system"), ("posix", "system"), ("subprocess", "Popen"),
        ("numpy", "load"), ("numpy.testing._private.utils", "runstring"), ("functools", "partial"),
        ("river.utils.pretty", "print_table"), ("river.utils.random", "random"),
        ("river.datasets.base", "RemoteDataset"), ("river.base.base", "collections"),
        ("river.stream.iter_csv", "DictReader"), ("river.time_series", "base.abc.sys"), ("river.base.base", "logging"),
        ("river.drift.kswin", "random"), ("riverside", "X"), ("importlib", "import_module"),
    ],
)  # fmt: skip
def test_only_classes_of_models_can_be_looked_up(module: str, name: str) -> None:
    """Functions, modules, other libraries, and names imported by river's modules are refused."""
    with pytest.raises(StateError, match="is not allowed in a model of river"):
        loaded(np.frombuffer(lookup(module, name), np.uint8))


def test_a_class_of_a_model_can_be_looked_up() -> None:
    """The same pickle with a class of river loads."""
    assert loaded(np.frombuffer(lookup("river.time_series.holt_winters", "HoltWinters"), np.uint8)) is HoltWinters


@pytest.mark.parametrize(
    "state", [b"", b"\x80", pickle.dumps(3), pickle.dumps([[[1]]]), pickle.dumps([[]]), pickle.dumps([5])]
)
def test_damaged_or_other_models_are_refused(state: bytes) -> None:
    """Damaged pickles, and ones of other objects than the configured models, are a StateError."""
    experts = RiverExperts(experts=[HOLT], horizons=np.array([1]), published=np.array([0]), seed=0)
    with pytest.raises(StateError, match="saved models of river"):
        experts.load([np.frombuffer(state, np.uint8)])


def test_experts_are_part_of_the_layout() -> None:
    """Classes, arguments and river's version; without experts the layout has no such key."""
    assert "experts" not in small().layout
    layouts = [small(experts=experts).layout["experts"] for experts in ([HOLT], [{**HOLT, "alpha": 0.5}], [BAYES])]
    assert layouts[0] == small(experts=[HOLT]).layout["experts"]
    assert len({str(layout) for layout in layouts}) == 3


@pytest.mark.usefixtures("bare_environment")
def test_experts_are_configured_as_a_list_of_mappings(tmp_path: Path) -> None:
    """YAML and JSON are equivalent; numbers, booleans and null are recognized."""
    path = tmp_path / "c.yaml"
    path.write_text("experts:\n  - {river: a.B, alpha: 1e-3, m: 12, on: true, off: null, mode: up}\n")
    text = '[{"river": "a.B", "alpha": 0.001, "m": 12, "on": true, "off": null, "mode": "up"}]'
    expected = {"river": "a.B", "alpha": 0.001, "m": 12, "on": True, "off": None, "mode": "up"}
    for settings in (load(path, ["input.topics=a"]), load(None, ["input.topics=a", f"experts={text}"])):
        assert settings.experts == (expected,)
        assert type(settings.experts[0]["m"]) is int
    assert load(None, ["input.topics=a"]).experts == ()


@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize("text", ["x", "[1]", '[{"alpha": 1}]', '[{"river": 3}]', '[{"river": "a.B", "p": [1]}]', "{}"])
def test_experts_of_another_shape_are_refused(text: str) -> None:
    """Anything but a list of mappings with a class name and plain arguments is refused under its key."""
    with pytest.raises(ConfigError, match=r"^experts = .*must be a list of mappings such as \{river: "):
        load(None, ["input.topics=a", f"experts={text}"])
