"""Tasks of the configured settings, or of those recorded with a saved state."""

from functools import partial
from typing import TYPE_CHECKING

from streamrnn import app
from streamrnn.runtime.snapshot.task_source import TaskSource
from streamrnn.settings import Settings
from streamrnn.settings.changes import task_values, with_task_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamrnn.records import TopicPartition
    from streamrnn.runtime.task import Task


def task_source(settings: Settings, make: "Callable[[Settings, TopicPartition], Task] | None" = None) -> TaskSource:
    """Return the source of tasks under these settings; `make` returns a new task, by default `app.task`."""
    return TaskSource(
        partial(make or app.task, settings),
        values=task_values(settings),
        recorded=lambda values: task_source(with_task_values(settings, values), make),
    )
