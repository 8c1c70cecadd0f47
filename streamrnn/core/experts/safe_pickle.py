"""Serialization of river models by pickle, with an unpickler restricted to data and classes of river.

A pickle can call any function, so that write access to the state topic would allow code execution. The unpickler looks
up only classes of river's model packages, a few containers, and constructors of numpy arrays.
"""

import io
import pickle

import numpy as np
from numpy.typing import NDArray

from streamrnn.errors import START_OVER, StateError

Bytes = NDArray[np.uint8]

PROTOCOL = 5
PACKAGES = frozenset({
    "_river_rust", "base", "bayes", "compose", "covariance", "drift", "ensemble", "forest", "linear_model", "metrics",
    "neighbors", "optim", "preprocessing", "proba", "rules", "stats", "time_series", "tree", "utils",
})  # fmt: skip
"""Packages of river that models use: none that reads files or the network."""
PLAIN = frozenset({
    "builtins.bool", "builtins.complex", "builtins.dict", "builtins.float", "builtins.frozenset", "builtins.int",
    "builtins.list", "builtins.set", "collections.Counter", "collections.OrderedDict", "collections.defaultdict",
    "collections.deque", "random.Random", "statistics.NormalDist", "numpy.dtype", "numpy.ndarray",
    "numpy._core.multiarray._reconstruct", "numpy._core.multiarray.scalar", "numpy._core.numeric._frombuffer",
    "numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar", "numpy.core.numeric._frombuffer",
    "river.tree.splitter.ebst_splitter.EBSTNode._update_estimator_univariate",
})  # fmt: skip
"""Other names that may be looked up."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        """Return the class of that name if it is allowed."""
        if f"{module}.{name}" in PLAIN:
            return super().find_class(module, name)
        package, _, rest = module.partition(".")
        if package == "river" and rest.partition(".")[0] in PACKAGES and "." not in name:
            found = super().find_class(module, name)
            # no functions, and no classes that the module has only imported
            if isinstance(found, type) and found.__module__.startswith("river."):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a model of river")


def dumped(objects: object) -> Bytes:
    """Serialize an object."""
    return np.frombuffer(pickle.dumps(objects, PROTOCOL), np.uint8)


def loaded(data: Bytes) -> object:
    """Deserialize the result of `dumped`; raises StateError if it is damaged or refers to names not allowed."""
    try:
        return _Unpickler(io.BytesIO(data.tobytes())).load()
    except Exception as error:  # damaged bytes may raise anything
        raise StateError(
            f"the saved models of river cannot be loaded: {error}; use the version of river that wrote them, or "
            f"{START_OVER}"
        ) from error
