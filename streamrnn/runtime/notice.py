"""What the log is told of a feed: records that could not be used, and steps of learning that came to nothing."""

import logging

from streamrnn.records import StepReport

logger = logging.getLogger(__name__)


def notice(report: StepReport) -> None:
    """Log what is out of the ordinary in a report; most have nothing."""
    task = report.partition._asdict()
    if report.last_dead_letter is not None:
        offset, _, text = report.last_dead_letter
        reasons = dict(report.dead_letters)
        logger.warning(
            "dead_letter", extra={**task, "count": sum(reasons.values()), "reasons": reasons, "offset": offset}
        )
        logger.debug("dead_letter_text", extra={**task, "text": text})
    if report.skipped_steps:
        logger.warning("learning_step_skipped", extra={**task, "count": report.skipped_steps})
    if report.taken_back_steps:
        logger.warning("learning_taken_back", extra={**task, "count": report.taken_back_steps})
