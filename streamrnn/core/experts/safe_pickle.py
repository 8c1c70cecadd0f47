"""Objects of river as bytes, and back through an unpickler that makes nothing but data and river's own classes.

A pickle is a programme: whoever can write to the state topic could let a plain unpickler call anything. This one looks
up classes of river's packages of models, a few containers, and what numpy makes its arrays with.
"""

import io
import pickle

import numpy as np
from numpy.typing import NDArray

from streamrnn.errors import StateError

Bytes = NDArray[np.uint8]

PROTOCOL = 5
PACKAGES = frozenset({
    "_river_rust", "base", "bayes", "compose", "covariance", "drift", "ensemble", "forest", "linear_model", "metrics",
    "neighbors", "optim", "preprocessing", "proba", "rules", "stats", "time_series", "tree", "utils",
})  # fmt: skip
"""Of river, those that models are made of: none that reads files or the network."""
PLAIN = frozenset({
    "builtins.bool", "builtins.complex", "builtins.dict", "builtins.float", "builtins.frozenset", "builtins.int",
    "builtins.list", "builtins.set", "collections.Counter", "collections.OrderedDict", "collections.defaultdict",
    "collections.deque", "random.Random", "statistics.NormalDist", "numpy.dtype", "numpy.ndarray",
    "numpy._core.multiarray._reconstruct", "numpy._core.multiarray.scalar", "numpy._core.numeric._frombuffer",
    "numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar", "numpy.core.numeric._frombuffer",
    "river.tree.splitter.ebst_splitter.EBSTNode._update_estimator_univariate",
})  # fmt: skip
"""What else may be looked up, by name."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        """The class of that name, if it is one of those that the state may hold."""
        if f"{module}.{name}" in PLAIN:
            return super().find_class(module, name)
        package, _, rest = module.partition(".")
        if package == "river" and rest.partition(".")[0] in PACKAGES and "." not in name:
            found = super().find_class(module, name)
            # a function could be called, and what a module has merely imported is not river's
            if isinstance(found, type) and found.__module__.startswith("river."):
                return found
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no model of river is made of")


def dumped(objects: object) -> Bytes:
    """One object, or a list of several, as bytes."""
    return np.frombuffer(pickle.dumps(objects, PROTOCOL), np.uint8)


def loaded(data: Bytes) -> object:
    """What `dumped` has made of an object.

    Raises:
        StateError: the bytes are damaged, or ask for anything that no model of river is made of.
    """
    try:
        return _Unpickler(io.BytesIO(data.tobytes())).load()
    except Exception as error:  # damaged bytes may raise whatever they like
        raise StateError(
            f"the saved models of river cannot be loaded: {error}; use the version of river that wrote them, or start "
            "anew under another name (app)"
        ) from error
