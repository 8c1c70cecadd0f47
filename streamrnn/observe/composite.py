"""An observer that forwards every event to several others."""

from collections.abc import Callable, Sequence
from functools import partial

from streamrnn.records import Observer


class CompositeObserver(Observer):
    """Forwards every event to several observers, in their order."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        for event in vars(Observer):
            if not event.startswith("_"):
                handlers = [getattr(observer, event) for observer in observers]
                setattr(self, event, partial(_call_each, handlers))


def _call_each(handlers: Sequence[Callable[..., None]], *arguments: object) -> None:
    for handler in handlers:
        handler(*arguments)
