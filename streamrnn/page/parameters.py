"""The parameters that several requests of the API have."""

from typing import Annotated, Any

from fastapi import HTTPException, Path, Query

from streamrnn.page.data.store import Store

MISSING: dict[int | str, dict[str, Any]] = {404: {"description": "The page has no such series or horizon"}}
SILENT: dict[int | str, dict[str, Any]] = {**MISSING, 503: {"description": "The daemon did not answer in time"}}

Name = Annotated[str, Path(description="Series name, `<key>/<field>`; percent-encode characters reserved in paths")]
Topic = Annotated[str | None, Query(description="Input topic, if several have a series of this name")]
Partition = Annotated[int | None, Query(description="Input partition, if several have a series of this name", ge=0)]
Limit = Annotated[int, Query(description="Maximum number of items", ge=1, le=1000)]


def find_slot(store: Store, name: str, topic: str | None, partition: int | None) -> int:
    """Return the slot of the first series called `name`, of this topic and partition if given.

    Raises:
        HTTPException: 404, there is no such series.
    """
    slot = store.history.slots.find(name, topic, partition)
    if slot is None:
        raise HTTPException(404, f"no series {name!r}; GET /series?search= lists the available series")
    return slot


def silent() -> HTTPException:
    """Return the error of a worker that did not answer in time."""
    return HTTPException(503, "the daemon did not answer in time; try again", {"Retry-After": "5"})
