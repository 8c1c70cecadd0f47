"""Which messages of the confluent client are new: after a seek the library may deliver older ones once more."""

from typing import Any, cast

import pytest

pytest.importorskip("confluent_kafka")

from confluent_kafka import Message

from streamrnn.log.confluent.group import ConsumerGroup
from streamrnn.records import TopicPartition

PLACE = TopicPartition("t", 0)


class _Consumer:
    """Accepts assignments."""

    def consumer_group_metadata(self) -> bytes:
        return b""

    def assign(self, partitions: list[Any]) -> None:
        del partitions


@pytest.mark.parametrize(
    ("offsets", "new", "following"),
    [
        ([5, 6, 7], [5, 6, 7], 8),
        ([5, 9, 12], [5, 9, 12], 13),  # markers of transactions have offsets, too
        ([3, 4, 5, 6], [5, 6], 7),
        ([5, 6, 5, 6, 7], [5, 6, 7], 8),
        ([3, 4], [], 5),
        ([6, 5, 7], [6, 7], 8),
    ],
)
def test_a_message_counts_once_and_in_order(offsets: list[int], new: list[int], following: int) -> None:
    """Only messages behind the position and behind all before them are new; the position moves behind the last."""
    group = ConsumerGroup(cast("Any", _Consumer()))
    group.seek(PLACE, 5)
    messages = [cast("Any", Message)(topic="t", partition=0, offset=offset) for offset in offsets]
    assert [each.offset() for each in group.advance(PLACE, messages)] == new
    assert group.position(PLACE) == following


def test_a_partition_that_is_not_read_has_no_new_message() -> None:
    """What was fetched before a partition was lost is ignored."""
    group = ConsumerGroup(cast("Any", _Consumer()))
    assert group.advance(PLACE, [cast("Any", Message)(topic="t", partition=0, offset=1)]) == []
