"""The restricted unpickler: models of river as they were, and a StateError for whatever else the bytes are."""

import collections
import pickle
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from river.stats import Quantile
from river.time_series import HoltWinters

from streamrnn.core.experts.river_experts import _rehearse, specified
from streamrnn.core.experts.safe_pickle import dumped, loaded
from streamrnn.errors import StateError

MODELS = [
    {"river": "time_series.HoltWinters", "alpha": 0.3},
    {"river": "linear_model.LinearRegression"},
    {"river": "linear_model.BayesianLinearRegression"},
    {"river": "linear_model.BayesianLinearRegression", "smoothing": 0.8},
    {"river": "time_series.SNARIMAX", "p": 6, "d": 1, "q": 2},
    {"river": "tree.HoeffdingTreeRegressor"},
    {"river": "tree.HoeffdingAdaptiveTreeRegressor"},
]
"""Every model that the documentation mentions as usable."""


def short(text: str) -> bytes:
    """Return the operation that pushes a text."""
    return b"\x8c" + bytes([len(text)]) + text.encode()


def name(path: str) -> bytes:
    """Return the operations that look up a name."""
    module, _, last = path.rpartition(".")
    return short(module) + short(last) + b"\x93"


def pickled(*operations: bytes) -> np.ndarray:
    """Return a pickle of these operations."""
    return np.frombuffer(b"\x80\x05" + b"".join(operations) + b".", np.uint8)


def plain(value: object) -> bytes:
    """Return the operations that push a plain value."""
    return pickle.dumps(value, 2)[2:-1]


def dtype(text: str, state: tuple[object, ...] | None = None) -> bytes:
    """Return the operations that push a dtype, with the given state."""
    made = name("numpy.dtype") + plain((text, False, True)) + b"R"
    return made if state is None else made + plain(state) + b"b"


FROM_BUFFER, SCALAR = "numpy._core.numeric._frombuffer", "numpy._core.multiarray.scalar"
RECONSTRUCT = "numpy._core.multiarray._reconstruct"
NO_FLAGS = (3, "|", None, None, None, -1, -1, 0)
"""State of a dtype that numpy takes for one without references, even of object."""
NORMAL = (3, "<", None, None, None, -1, -1, 0)


def array(of: bytes, data: bytes = bytes(range(1, 9)), shape: tuple[int, ...] = (1,)) -> bytes:
    """Return the operations that make an array of a buffer."""
    return name(FROM_BUFFER) + b"(" + plain(data) + of + plain(shape) + plain("C") + b"tR"


def rebuilt(of: bytes, state_tail: bytes) -> bytes:
    """Return the operations that make an array with BUILD."""
    empty = name(RECONSTRUCT) + b"(" + name("numpy.ndarray") + plain((0,)) + plain(b"b") + b"tR"
    return empty + b"(" + plain(1) + plain((1,)) + of + state_tail + b"tb"


HOSTILE = {
    "object array of a buffer": array(dtype("O8", NO_FLAGS)),
    "object scalar": name(SCALAR) + b"(" + dtype("O8", NO_FLAGS) + plain(bytes(range(1, 9))) + b"tR",
    "object array by BUILD": rebuilt(dtype("O8", NO_FLAGS), plain(False) + plain(bytes(range(1, 9)))),
    "object array of a list": rebuilt(dtype("O8", (3, "|", None, None, None, -1, -1, 63)), plain(False) + plain([1])),
    "structured dtype": dtype("V8", (3, "|", None, ("a",), {"a": (1, 0)}, 8, 1, 0)),
    "void": array(dtype("V8")),
    "text": array(dtype("U2")),
    "dtype of another length": array(dtype("f8", (3, "<", None, None, None, 2**40, -1, 0))),
    "subarray dtype": dtype("f8", (3, "|", (1, (2**40,)), None, None, 8, 1, 0)),
    "uninitialized array": name("numpy.ndarray") + plain(((1 << 20,),)) + b"R",
    "uninitialized array by NEWOBJ": name("numpy.ndarray") + plain(((1 << 20,),)) + b"\x81",
    "array of too few bytes": array(dtype("f8"), b"1234"),
    "array of a negative size": array(dtype("f8"), b"12345678", (-1,)),
    "rebuilt array of too few bytes": rebuilt(dtype("f8"), plain(False) + plain(b"1234")),
    "bytearray longer than the pickle": b"\x96" + struct.pack("<Q", 1 << 40),
    "bytes longer than the pickle": b"\x8e" + struct.pack("<Q", 1 << 40),
    "memo of 32 GB": b"Nr\xff\xff\xff\xff",
    "changed class": name("river.time_series.HoltWinters") + b"N" + plain({"forecast": 3}) + b"\x86b",
    "changed class of the library": name("random.Random") + b"N" + plain({"random": 3}) + b"\x86b",
    "changed function": name("river.tree.splitter.ebst_splitter.EBSTNode._update_estimator_univariate")
    + plain({"x": 3}) + b"b",
    "called function": name("river.tree.splitter.ebst_splitter.EBSTNode._update_estimator_univariate") + b")R",
    "tuples too deep to hash": b"}" + b")" + b"\x85" * 300_000 + b"Ns",
    "panic in Rust": name("river._river_rust.stats.RsQuantile") + b")\x81" + plain(b"12") + b"b",
}  # fmt: skip

CHILD = """
import contextlib
import resource
import sys
import numpy as np
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
from streamrnn.core.experts.safe_pickle import dumped, loaded
from streamrnn.errors import StateError
import river.stats, river.time_series, river.tree.splitter.ebst_splitter
data = sys.stdin.buffer
while size := data.read(4):
    pickle = np.frombuffer(data.read(int.from_bytes(size, "little")), np.uint8)
    try:
        found = loaded(pickle)
        with contextlib.suppress(Exception):
            dumped(found)  # reads all of it
        print("loaded", flush=True)
    except StateError as error:
        print(f"refused: {error}".splitlines()[0], flush=True)
"""


def outcomes(pickles: list[np.ndarray]) -> list[str]:
    """Load the pickles in another process, which may crash, and return a line for each that it survived."""
    sent = b"".join(len(each).to_bytes(4, "little") + each.tobytes() for each in pickles)
    done = subprocess.run([sys.executable, "-c", CHILD], check=False, input=sent, capture_output=True, timeout=250)
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0, f"ended with {done.returncode} at {len(lines)}: {done.stderr.decode()[-2000:]}"
    return lines


def test_crafted_pickles_are_refused() -> None:
    """Pointers as objects, huge sizes, and changes of classes are a StateError, and no crash; a memo is sparse."""
    lines = dict(zip(HOSTILE, outcomes([pickled(each) for each in HOSTILE.values()]), strict=True))
    assert [key for key, line in lines.items() if not line.startswith("refused")] == ["memo of 32 GB"]


def test_classes_stay_as_they_were() -> None:
    """A refused pickle has not changed anything in this process."""
    before = dict(vars(random.Random)), dict(vars(HoltWinters))
    for key in ("changed class", "changed class of the library"):
        with pytest.raises(StateError, match=r"a change of <class .* is not allowed"):
            loaded(pickled(HOSTILE[key]))
    assert (dict(vars(random.Random)), dict(vars(HoltWinters))) == before


@pytest.mark.parametrize("model", MODELS, ids=lambda model: "-".join(map(str, model.values())))
def test_models_are_loaded_as_they_were(model: dict[str, Any]) -> None:
    """Every model of the documentation forecasts the same after saving and loading, and is saved to the same bytes."""
    (spec,) = specified([model], seed=0)
    fitted = spec.model()
    _rehearse(spec, fitted, 0)
    copy = loaded(dumped([[fitted]]))[0][0]
    assert dumped(copy).tobytes() == dumped(loaded(dumped(fitted))).tobytes()
    assert _rehearse(spec, copy, 200) == _rehearse(spec, fitted, 200)


PLAIN_VALUES = [
    np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)), np.arange(9.0)[::3],
    np.zeros((0, 0)), np.array(3.0), np.eye(4)[:, 1:3], np.array([True]), np.array([1 + 2j]), np.float32(3),
    np.int64(7), np.bool_(True), np.arange(3).astype(np.uint8),
]  # fmt: skip


@pytest.mark.parametrize("protocol", [3, 5])
@pytest.mark.parametrize("value", PLAIN_VALUES, ids=repr)
def test_numbers_and_arrays_are_loaded_as_they_were(value: Any, protocol: int) -> None:
    """Contiguous or not, of any numeric type: also of state that another protocol or numpy 1 has written."""
    text = pickle.dumps([value, value], protocol)
    for data in (text, text.replace(b"numpy._core", b"numpy.core") if protocol == 3 else text):
        first, second = loaded(np.frombuffer(data, np.uint8))
        assert first is second
        assert type(first) is type(value)
        assert first.dtype == value.dtype
        np.testing.assert_array_equal(first, value)
        assert np.isfortran(first) == np.isfortran(value)


def test_containers_are_loaded_as_they_were() -> None:
    """Containers, generators and river's statistics written in Rust keep their contents and their sharing."""
    shared, dice, quantile = [1.5], random.Random(3), Quantile(0.3)
    quantile.update(2.0)
    value = {
        "deque": collections.deque([1, 2], maxlen=3), "ordered": collections.OrderedDict(a=shared),
        "default": collections.defaultdict(list, b=shared), "counter": collections.Counter("aab"),
        "sets": ({1}, frozenset({2})), "big": 1 << 99, "dice": dice, "quantile": quantile,
    }  # fmt: skip
    found: Any = loaded(dumped(value))
    assert found["dice"].random() == dice.random()
    assert found["quantile"].get() == quantile.get()
    assert found["ordered"]["a"] is found["default"]["b"]
    for key in ("deque", "ordered", "default", "counter", "sets", "big"):
        assert found[key] == value[key]
        assert type(found[key]) is type(value[key])


def mutated(seed: int, count: int) -> Iterator[np.ndarray]:
    """Yield pickles of models and of hostile objects with random changes."""
    rng = random.Random(seed)
    sources = [pickled(each).tobytes() for key, each in HOSTILE.items() if key != "tuples too deep to hash"]
    for model in MODELS[:5]:
        (spec,) = specified([model], seed=0)
        fitted = spec.model()
        _rehearse(spec, fitted, 0)
        sources += [dumped([[fitted]]).tobytes()] * 4
    sources += [pickle.dumps(PLAIN_VALUES, protocol) for protocol in (3, 5)] * 4
    operations = bytes(code[0] for code in vars(pickle).values() if isinstance(code, bytes) and len(code) == 1)
    for _ in range(count):
        data = bytearray(rng.choice(sources))
        for _ in range(rng.choice((1, 1, 2, 5))):
            at = rng.randrange(len(data) or 1)
            data += b"." * (not data)
            match rng.randrange(5):
                case 0:
                    data[at] = rng.randrange(256)
                case 1:
                    data[at] = rng.choice(operations)
                case 2:
                    del data[at : at + rng.randrange(1, 9)]
                case 3:
                    other = rng.choice(sources)
                    start = rng.randrange(len(other))
                    data[at:at] = other[start : start + rng.randrange(1, 40)]
                case 4:
                    data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"))
        yield np.frombuffer(bytes(data), np.uint8)


@pytest.mark.parametrize(
    ("seed", "count"), [(0, 1500), pytest.param(1, 100_000, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
)
def test_damaged_pickles_are_refused_or_loaded(seed: int, count: int) -> None:
    """Whatever the bytes, the result is an object or a StateError: no crash, no other exception, bounded memory."""
    for start in range(0, count, 5000):
        pickles = list(mutated(seed + start, min(5000, count - start)))
        lines = outcomes(pickles)
        assert len(lines) == len(pickles)
        assert 0 < sum(line.startswith("refused") for line in lines) < len(lines)
