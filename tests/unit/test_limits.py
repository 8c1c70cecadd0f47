"""What a topic accepts, and outputs made to fit it."""

import pytest

from streamrnn.dead_letters import size_of
from streamrnn.log.limits import DEFAULT_BYTES, UNLIMITED, TopicLimits, fit, limits_of, nearest_time
from streamrnn.records import Output

NOW = 1_800_000_000_000
HOUR = 3_600_000


@pytest.mark.parametrize(
    ("configuration", "limits"),
    [
        ({}, TopicLimits(DEFAULT_BYTES)),
        ({"max.message.bytes": "100000"}, TopicLimits(100_000)),
        (
            {"message.timestamp.after.max.ms": "5", "message.timestamp.before.max.ms": "7"},
            TopicLimits(DEFAULT_BYTES, 7, 5),
        ),
        ({"message.timestamp.difference.max.ms": "9"}, TopicLimits(DEFAULT_BYTES, 9, 9)),  # a broker before 3.6
        (
            {"message.timestamp.type": "LogAppendTime", "message.timestamp.after.max.ms": "5"},
            TopicLimits(DEFAULT_BYTES, UNLIMITED, UNLIMITED, stamps=True),
        ),
    ],
)
def test_limits_of_a_configuration(configuration: dict[str, str], limits: TopicLimits) -> None:
    """Sizes and times are read from a topic's configuration; brokers that stamp records accept every time."""
    assert limits_of(configuration) == limits


@pytest.mark.parametrize("margin", [60_000])
def test_the_nearest_time(margin: int) -> None:
    """A time within the limits is kept; another one is moved to a minute from the edge; no time stays no time."""
    limits = TopicLimits(before=HOUR, after=2 * HOUR)
    assert nearest_time(NOW - HOUR // 2, limits, NOW) == NOW - HOUR // 2
    assert nearest_time(0, limits, NOW) == NOW - HOUR + margin
    assert nearest_time(NOW + 3 * HOUR, limits, NOW) == NOW + 2 * HOUR - margin
    assert nearest_time(-1, limits, NOW) == -1
    assert nearest_time(0, TopicLimits(after=HOUR), NOW) == 0


def test_what_fits_is_not_changed() -> None:
    """Outputs of topics without tight limits are returned as they are; others only where they must be changed."""
    outputs = [Output("a", 0, b"k", b"v" * 50_000, NOW + 5 * HOUR), Output("b", 0, b"k", b"v", NOW)]
    assert fit(outputs, {"a": TopicLimits(), "b": TopicLimits(DEFAULT_BYTES)}, NOW).outputs is outputs
    fitted = fit(outputs, {"a": TopicLimits(40_000), "b": TopicLimits(after=HOUR)}, NOW)
    assert (list(fitted.outputs), fitted.restamped, fitted.cut) == (outputs, 0, 0)  # a forecast is never cut


@pytest.mark.parametrize(("time", "moved"), [(-1, 0), (NOW - 2 * HOUR, 1), (NOW, 0), (NOW + 2 * HOUR, 1)])
def test_one_time_among_many_is_noticed(time: int, moved: int) -> None:
    """A time that a topic does not accept is replaced, wherever it stands among those that it accepts."""
    limits = {"a": TopicLimits(before=HOUR, after=HOUR)}
    times = [NOW - 5, time, NOW + 5]
    fitted = fit([Output("a", 0, b"k", b"v", each) for each in times], limits, NOW)
    assert [output.timestamp for output in fitted.outputs] == [nearest_time(each, limits["a"], NOW) for each in times]
    assert fitted.restamped == moved


def test_a_dead_letter_is_cut_to_its_topic() -> None:
    """Key, value and headers together fit the topic also if they do not compress."""
    letter = Output("a", 0, b"k" * 90_000, b"v" * 90_000, NOW, (("__streams.errors.message", b"late: words"),))
    (cut,) = fit([letter], {"a": TopicLimits(100_000)}, NOW).outputs
    assert 95_000 < size_of(cut) < 98_000


@pytest.mark.parametrize("limits", [TopicLimits(before=HOUR), TopicLimits(stamps=True)])
def test_a_dead_letter_keeps_its_timestamp_in_a_header(limits: TopicLimits) -> None:
    """Where its topic changes it, so that the record can be retried with its own; a forecast has it in its value."""
    error, own = ("__streams.errors.message", b"late: words"), ("h", b"")
    letter = Output("a", 0, b"k", b"v", NOW - 2 * HOUR, (error, own))
    (fitted,) = fit([letter], {"a": limits}, NOW).outputs
    assert fitted.headers == (error, ("__streams.errors.timestamp", b"%d" % letter.timestamp), own)
    forecast = letter._replace(headers=())
    assert fit([forecast], {"a": limits}, NOW).outputs[0].headers == ()
    assert fit([letter], {"a": TopicLimits()}, NOW).outputs == [letter]
