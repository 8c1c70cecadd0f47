"""A proposal as YAML with comments."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from streamrnn.commands.sniff.profile import FieldProfile, count_of, duration, quoted_names
from streamrnn.commands.sniff.proposal import Proposal, proposed_forecast
from streamrnn.commands.sniff.sample import RecordSample
from streamrnn.commands.sniff.search.numbers import NumberForm
from streamrnn.settings.sources import dump_yaml
from streamrnn.timestamps import format_iso


def to_commented_yaml(proposal: Proposal, sample: RecordSample, *, connection: Mapping[str, Any]) -> str:
    """Return a proposal as a complete configuration with comments.

    `connection` has the sections that say where the log is, without secrets.
    """
    lines = _commented(f"Proposed by streamrnn sniff: {sample.source}.")
    lines += [line for each in (*summary(proposal), _next_step(proposal, sample)) for line in _commented(each)]
    lines += _doubt_lines(proposal.doubts)
    lines += ["", *dump_yaml(dict(connection)).splitlines()] if connection else [""]
    lines += ["input:", *_entry("topics", [sample.topic], "")]
    comments = _comments(proposal)
    for name, value in proposal.input.items():
        if isinstance(value, dict):
            lines.append(f"  {name}:")
            for inner, each in value.items():
                lines += _entry(inner, each, comments.get(f"{name}.{inner}", ""), indent=4)
        else:
            lines += _entry(name, value, comments.get(name, ""))
    lines += _left_out_lines(proposal.found.fields.left_out)
    if proposal.profile is not None:
        lines += _field_lines(proposal.profile.fields)
    if forecast := proposed_forecast(proposal.profile):
        comment = "no quantile below 0 for a series that was never negative; see docs/how-to/bounds.md"
        lines += ["", "forecast:", *_entry("bounds", forecast["bounds"], comment)]
    return "\n".join(lines) + "\n"


def _doubt_lines(doubts: Sequence[str]) -> list[str]:
    return ["#", "# In doubt:", *(line for doubt in doubts for line in _commented(doubt, "- "))] if doubts else []


def _commented(text: str, mark: str = "") -> list[str]:
    """Return a text as comment lines of at most 110 characters."""
    indent = "# " + " " * len(mark)
    return wrap(_one_line(text), 110, initial_indent=f"# {mark}", subsequent_indent=indent, break_on_hyphens=False)


def _next_step(proposal: Proposal, sample: RecordSample) -> str:
    if proposal.profile is None or not proposal.profile.observations:
        return "Next: settle what is in doubt."
    if sample.path is not None:
        command = f"streamrnn backtest -c FILE.yaml --input {sample.path} --output OUT.jsonl"
        return f"Next, with this file as FILE.yaml: {command}"
    return "Next, with this file as FILE.yaml: streamrnn check -c FILE.yaml --connect; streamrnn run -c FILE.yaml"


def summary(proposal: Proposal) -> list[str]:
    """Return sentences about the observations that a proposal reads in the sample."""
    profile = proposal.profile
    if profile is None:
        return ["It cannot be read as it stands; see below."]
    refused = sum(each.records for each in profile.refusals.values())
    lines = [
        f"It reads {profile.series:,} series of {count_of(len(profile.keys), 'key')}, "
        f"{count_of(profile.values, 'value')}; {count_of(refused, 'record')} refused."
    ]
    if profile.first is not None and profile.last is not None:
        every = f", every {duration(profile.cadence)}" if profile.cadence else ""
        about = "" if profile.steady or not every else " or so"
        lines.append(
            f"Times from {format_iso(profile.first, 'seconds')} to {format_iso(profile.last, 'seconds')}{every}{about}."
        )
    if profile.seasons:
        lines.append(f"Seasons that fit are {' and '.join(profile.seasons[-2:])}; forecast.seasons: auto finds them.")
        lines.append("If days and weeks go by a local clock, set forecast.timezone, such as Europe/Berlin.")
    lines += [f"Left out as {name}: {count_of(count, 'observation')}." for name, count in profile.drops.items()]
    return lines


def _comments(proposal: Proposal) -> dict[str, str]:
    found = proposal.found
    form = found.fields.form
    extra = [f"{number:g}" for number in form.missing_numbers]
    extra += [text for text in form.missing_texts if text not in NumberForm().missing_texts]
    return {
        "observations": "one observation per element",
        "key": found.key.words,
        "time.from": found.time.words,
        "fields.name": "long format: the name of the field ...",
        "fields.value": "... and its value",
        "fields.under": "the fields are members of this object",
        "where": "only the last update of each interval",
        "numbers.missing": f"in the sample: {', '.join(extra)}" if extra else "",
        "numbers.decimal": "decimal commas",
        "numbers.units": "in the unit without its prefix" if form.units == "scaled" else "a unit behind the number",
        "numbers.booleans": "no record has a number, but these have true and false",
        "max_record": "the longest record of the sample needs it",
    }


def _entry(name: str, value: object, comment: str, *, indent: int = 2) -> list[str]:
    """Return the YAML lines of one key, with a comment on its line or above it."""
    space = " " * indent
    text = dump_yaml({name: value}).rstrip("\n").splitlines()
    comment = _one_line(comment)
    if not comment:
        return [space + line for line in text]
    if len(text) == 1 and len(text[0]) + len(comment) + indent < 118:
        return [f"{space}{text[0]:<{30 - indent}} # {comment}"]
    return [f"{space}# {comment}", *(space + line for line in text)]


def _left_out_lines(left_out: Mapping[str, str]) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for path, reason in left_out.items():
        by_reason.setdefault(reason, []).append(path)
    lines = [
        line for reason, paths in by_reason.items() for line in _commented(f"{quoted_names(paths)}: {reason}", "  ")
    ]
    return ["", "# Numbers that are no fields:", *lines] if lines else []


def _field_lines(fields: Mapping[str, FieldProfile]) -> list[str]:
    if not fields:
        return []
    lines = [line for name, each in list(fields.items())[:100] for line in _commented(f"{name}: {_about(each)}", "  ")]
    return ["", "# Fields of the sample:", *lines]


def _about(each: FieldProfile) -> str:
    text = f"{each.low:.6g} to {each.high:.6g}" if each.low != each.high else f"{each.low:.6g}"
    if each.counter:
        return f"{text}, a counter"
    if each.low >= 0 and each.high <= 100 and each.high > 1:
        return f"{text}, within 0 to 100"
    return f"{text}, never negative" if each.low >= 0 else text


def _one_line(text: str) -> str:
    """Return a text without line ends and other control characters, which would end a comment."""
    return "".join(char if char.isprintable() else "�" for char in text)
