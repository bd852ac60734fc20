"""`thermos-observer`: its options, its log and its loop."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys
from types import FrameType

import click
import structlog
import uvicorn

from thermos import paths

from . import listen
from .app import Observer
from .tasks import Observed, Tasks
from .usage import Sampler
from .witness import Witness


class Server(uvicorn.Server):
    """uvicorn wakes ten times a second to see whether it should end; this one sleeps until it is told."""

    def __init__(self, config: uvicorn.Config, socket_path: str) -> None:
        """`socket_path` is removed at the end; it is empty where a port is listened on."""
        super().__init__(config)
        self._socket_path = socket_path
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        if not self.should_exit:
            await self._told.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop:
            self._loop.call_soon_threadsafe(self._told.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._socket_path:
            os.unlink(self._socket_path)
        await super().shutdown(sockets)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--root",
    "roots",
    multiple=True,
    metavar="DIR",
    help="A directory with tasks, or several; else $THERMOS_ROOT, else where `thermos run` puts them.",
)
@click.option("--listen", "where", default="127.0.0.1:1338", show_default=True, metavar="HOST:PORT|unix:PATH")
def main(roots: tuple[str, ...], where: str) -> None:
    """Show the tasks of this host, their health, logs and resource usage, over HTTP. It changes nothing."""
    try:
        address = listen.parse(where)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    _set_up_log()
    files = _raise_file_limit()
    try:
        listener = listen.bind(address)
    except listen.CannotListen as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    sampler, witness = Sampler(), Witness(files // 2)

    def ended(task: Observed) -> None:
        sampler.forget(task)
        witness.forget(task)

    try:
        tasks = Tasks(list(roots) or [paths.default_root()], ended, witness.see)
    except OSError as error:
        print(f"cannot use inotify: {error.strerror}; raise fs.inotify.max_user_instances", file=sys.stderr)
        sys.exit(1)
    log = structlog.get_logger()
    for problem in tasks.problems.values():
        log.warning("cannot follow a root", why=problem)
    if not address.local:
        log.warning("anyone who reaches this address can read every task's logs", address=where)
    listener.listen(128)
    print(f"observing {', '.join(tasks.roots)} at {listen.url(listener)}", flush=True)
    log.info("listening", address=listen.url(listener), roots=tasks.roots, tasks=len(tasks))
    app = Observer(tasks, sampler, witness).app(check_host=not address.path)
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,  # it is kept by the ticks this server has not: the application sets it
        timeout_graceful_shutdown=3,
    )
    try:
        Server(config, address.path).run([listener])
    except KeyboardInterrupt:
        pass


def _raise_file_limit() -> int:
    """A file per active task, a few per group that is sampled and one per run: more than the 1024 of a login shell."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _set_up_log() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


if __name__ == "__main__":
    main()
