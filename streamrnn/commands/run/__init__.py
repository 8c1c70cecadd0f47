"""`streamrnn run`: the daemon, from the first connection to the last commit."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

from streamrnn.commands.run.daemon import STOP_SECONDS, run_daemon
from streamrnn.commands.run.observers import make_metrics, make_traces, page_process
from streamrnn.commands.run.reload import Reloader, reload_workers
from streamrnn.commands.run.watching import FileWatch
from streamrnn.errors import ConfigError
from streamrnn.runtime.options import StartPolicy
from streamrnn.runtime.processes import raise_descriptor_limit, reap_orphans, stop_with_parent, worker_processes
from streamrnn.settings import Settings, load

__all__ = ["STOP_SECONDS", "add_run_command", "make_metrics", "make_traces", "run_daemon"]


def add_run_command(commands: Any, configured: argparse.ArgumentParser) -> None:
    """Add the command to the subparsers; `configured` has the options of every command with a configuration."""
    run = commands.add_parser(
        "run", parents=[configured], help="the daemon; SIGTERM ends it cleanly, SIGHUP reloads its configuration"
    )
    run.add_argument(
        "--accept-new-topic", action="store_true",
        help="keep the learned state for an input topic that was created again, and read it from its first record",
    )  # fmt: skip
    run.add_argument(
        "--reload-on-change", action="store_true", help="reload the configuration when its file has changed, too"
    )
    run.add_argument("-q", "--quiet", action="store_true", help="log warnings and errors only")
    run.add_argument("--with-parent", action="store_true", help=argparse.SUPPRESS)  # end when standard input does
    run.add_argument("--channel", type=int, help=argparse.SUPPRESS)  # a descriptor that leads to the page
    run.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> int:
    raise_descriptor_limit()
    reap_orphans()
    with _watching(arguments):
        return _run_configured(arguments)


@contextmanager
def _watching(arguments: argparse.Namespace) -> Iterator[None]:
    """Reload after each change of the configuration file, if asked to."""
    if not arguments.reload_on_change:
        yield
        return
    path = arguments.config
    if path is None or (path.exists() and not path.is_file()):
        raise ConfigError("--reload-on-change: needs a regular file, named with -c")
    with closing(FileWatch(path, arguments.signals.reload)) as watch:
        watch.start()
        yield


def _run_configured(arguments: argparse.Namespace) -> int:
    read = partial(load, arguments.config, arguments.overrides)
    settings = read()
    if arguments.quiet and settings.logging.level in {"debug", "info"}:
        arguments.overrides.append("logging.level=warning")
        settings = read()
    if settings.workers > 1:
        return _run_workers(settings, arguments, read)
    if arguments.with_parent:
        stop_with_parent()
    policy = StartPolicy(settings.input.start, accept_new_topic=arguments.accept_new_topic)
    return run_daemon(settings, arguments.signals, arguments.channel, start=policy, read=read)


def _run_workers(settings: Settings, arguments: argparse.Namespace, read: Callable[[], Settings]) -> int:
    from streamrnn import app  # noqa: PLC0415 -- the formats
    from streamrnn.observe import logging as logs  # noqa: PLC0415

    app.prepare(settings)
    options = ["--config", str(arguments.config)] if arguments.config else []
    options += ["--accept-new-topic"] * arguments.accept_new_topic
    options += [part for override in arguments.overrides for part in ("--set", override)]
    with page_process(settings, settings.workers) as channels:
        port, instance, fds = settings.metrics.port, settings.kafka.instance, [each.fileno() for each in channels]
        workers = worker_processes(options, count=settings.workers, port=port, instance=instance, channels=fds)
        reloader = Reloader(settings, read=read, apply=lambda new, _: logs.configure(**new.logging.model_dump()))
        with arguments.signals.calling(workers.stop, partial(reload_workers, reloader, workers), workers.dump):
            return workers.run()
