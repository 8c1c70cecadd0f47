"""Whether whole networks learn in this process, which needs torch, an extra. Imports no numerical library.

Without torch everything else works, the learning of heads included. The numeric fingerprint of saved state records
whether whole networks learned, so that a start of the other kind is noticed.
"""

import logging

from streamrnn.core.network.device import torch_installed
from streamrnn.errors import missing_extra
from streamrnn.settings import Settings
from streamrnn.weights import base_path

REMEDY = "pip install 'streamrnn[torch]', or set learning.whole to false"

logger = logging.getLogger(__name__)


def whole_networks_learn(settings: Settings) -> bool:
    """Return whether whole networks are configured to learn, and torch is installed."""
    return settings.learning.enabled and settings.learning.whole and torch_installed()


def torch_is_missing(settings: Settings) -> bool:
    """Return whether whole networks are configured to learn, but torch is not installed.

    Raises:
        ConfigError: the configuration needs torch for anything else.
    """
    if torch_installed():
        return False
    model = settings.model
    if settings.device == "cuda":
        raise missing_extra("device = 'cuda'", "torch", "torch")
    if base_path(model.base, model.config) is None:
        raise missing_extra(
            f"model: there is no base network for {model.encoder} {model.cell}, {model.layers} x {model.hidden_size} "
            f"(model.base = {model.base!r}), and one with random weights has to learn as a whole",
            "torch", "torch",
        )  # fmt: skip
    return settings.learning.enabled and settings.learning.whole


def log_missing_torch(settings: Settings) -> None:
    """Log a warning if whole networks are configured to learn without torch. Raises as `torch_is_missing`."""
    if torch_is_missing(settings):
        logger.warning("whole_learning_off", extra={"remedy": REMEDY})


def load_learner(settings: Settings) -> None:
    """Load torch, if whole networks learn with it."""
    if not whole_networks_learn(settings):
        return
    from streamrnn.core.garbage import collector_paused  # noqa: PLC0415 -- the numerical libraries

    with collector_paused():
        from streamrnn.core.learning import bptt  # noqa: F401, PLC0415
