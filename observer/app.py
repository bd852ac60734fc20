"""The observer's HTTP interface: every route, and what holds for every answer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from email.utils import formatdate
from urllib.parse import quote, urlencode

import jinja2
import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thermos.core.status import health_of

from . import files, listen, ranges
from .files import Refused
from .metrics import Metrics
from .pages import PAGES, logs, words
from .pages.kind import Asked, BadRequest, NotFound, Page, Snapshot, Values
from .tasks import Tasks
from .usage import Sampler
from .witness import Witness

_HERE = os.path.dirname(__file__)
_Handler = Callable[[Request], Awaitable[Response]]
#: How far back the beginning of the last lines is looked for.
_FARTHEST = 16 << 20
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class Observer:
    """The answers, over tasks that are followed and sampled elsewhere."""

    def __init__(self, tasks: Tasks, sampler: Sampler, witness: Witness) -> None:
        self._tasks = tasks
        self._witness = witness
        self._sampler = sampler
        self._metrics = Metrics(tasks, sampler)
        self._templates = _templates(self._link)

    def app(self, check_host: bool) -> ASGIApp:
        """`check_host`: anyone's browser may be led here, as it is on TCP."""
        routes = [
            Route("/health", self._alive),
            Route("/health/{task_id}", self._health),
            Route("/health/{task_id}/{process}", self._health),
            Route("/metrics", self._scrape),
            Route("/api/tasks/{task_id}/logs/{process}/{run}/{stream}", self._log),
            *(Route(page.api, self._for_programs(page)) for page in PAGES if page.api),
            *(Route(page.path, self._for_people(page)) for page in PAGES),
            Mount("/static", StaticFiles(directory=os.path.join(_HERE, "static"))),
        ]
        app = Starlette(
            routes=routes,
            lifespan=self._lifespan,
            exception_handlers={
                HTTPException: self._http_error,
                NotFound: self._not_found,
                Refused: self._not_found,
                BadRequest: self._bad_request,
                Exception: self._bug,
            },
        )
        return _Around(app, self._tasks, self._metrics, check_host)

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncGenerator[None, None]:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._tasks.fileno(), self._tasks.catch_up)
        loop.add_reader(self._witness.fileno(), self._witness.answer)
        yield
        loop.remove_reader(self._witness.fileno())
        self._witness.close()
        loop.remove_reader(self._tasks.fileno())

    def _snapshot(self) -> Snapshot:
        return Snapshot(time.time(), self._tasks, self._sampler)

    def _for_programs(self, page: Page) -> _Handler:
        async def answer(request: Request) -> Response:
            values = page.view(self._snapshot(), _asked(request))
            return _json(values[page.answer], headers=_paging(request, values))

        return answer

    def _for_people(self, page: Page) -> _Handler:
        template = self._templates.get_template(page.template)

        async def show(request: Request) -> Response:
            snapshot = self._snapshot()
            asked = {**dict(page.defaults), **_asked(request)}
            values = page.view(snapshot, asked)
            return _html(template.render(values, asked=asked, now=snapshot.now))

        return show

    async def _alive(self, request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _health(self, request: Request) -> Response:
        asked = _asked(request)
        task = self._snapshot().task(asked)
        process = asked.get("process") if "process" in request.path_params else None
        status = task.asked()
        if status is None or task.error:
            health, why = "unhealthy", task.error
        else:
            if process is not None and process not in (each.name for each in status.processes):
                raise NotFound(f"cannot find process {process}: task {task.task_id} has none of that name")
            health, why = health_of(status, process)
        answer = {"task_id": task.task_id, "process": process, "health": health, "why": why}
        return _json(answer, 200 if health == "healthy" else 503)

    async def _scrape(self, request: Request) -> Response:
        body, content_type = self._metrics.exposition(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    async def _log(self, request: Request) -> Response:
        asked = _asked(request)
        lines, most = _number(asked, "tail"), _number(asked, "tail_bytes")
        file = logs.open_log(self._snapshot(), asked)
        size = files.size_of(file)
        headers = {"content-type": "text/plain; charset=utf-8", "cache-control": "no-store", "accept-ranges": "bytes"}
        start, stop, status = 0, size, 200
        if lines is not None or most is not None:
            start = size - min(size, most if most is not None else size)
            if lines is not None:
                start = max(start, await run_in_threadpool(files.last_lines, file, lines, _FARTHEST))
        elif "if-range" not in request.headers:  # there are no validators here, so one cannot match
            try:
                wanted = ranges.parse(request.headers.get("range"), size)
            except ranges.Unsatisfiable:
                file.close()
                return Response(status_code=416, headers={**headers, "content-range": f"bytes */{size}"})
            if wanted:
                start, stop = wanted
                status = 206
        if status == 206:
            headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
        headers["content-length"] = str(stop - start)
        if request.method == "HEAD":
            file.close()
            return Response(status_code=status, headers=headers)
        return StreamingResponse(files.chunks(file, start, stop), status, headers)

    async def _not_found(self, request: Request, error: Exception) -> Response:
        return self._sorry(request, 404, str(error))

    async def _bad_request(self, request: Request, error: Exception) -> Response:
        return self._sorry(request, 400, str(error))

    async def _http_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        why = {
            404: f"cannot find {request.url.path}: there is no such page; the tasks are at /",
            405: f"cannot {request.method} {request.url.path}: the observer only shows, with GET and HEAD",
        }
        return self._sorry(request, error.status_code, why.get(error.status_code, error.detail), error.headers)

    async def _bug(self, request: Request, error: Exception) -> Response:
        return self._sorry(request, 500, "cannot answer: this is a bug in the observer, and its log has the details")

    def _sorry(self, request: Request, status: int, why: str, headers: Mapping[str, str] | None = None) -> Response:
        if request.url.path.startswith(("/api/", "/health", "/metrics")):
            return _json({"error": why}, status, headers)
        page = self._templates.get_template("error.html").render(status=status, why=why)
        return _html(page, status, headers)

    def _link(self, kind: str, task: Values, *parts: object) -> str:
        """The address of a task's page; it names the root where that could matter."""
        path = "/".join(quote(str(part), safe="") for part in (task["task_id"], *parts))
        root = "?" + urlencode({"root": task["root"]}) if len(self._tasks.roots) > 1 else ""
        return f"/{kind}/{path}{root}"


class _Around:
    """What comes before and after every request: who is asked for, news from the disk, headers, counting."""

    def __init__(self, app: ASGIApp, tasks: Tasks, metrics: Metrics, check_host: bool) -> None:
        self._app = app
        self._tasks = tasks
        self._metrics = metrics
        self._check_host = check_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-cache")
                headers["date"] = formatdate(usegmt=True)
                self._metrics.requests.labels(str(message["status"])).inc()
            await send(message)

        host = Headers(scope=scope).get("host", "")
        if self._check_host and host and not listen.is_ours(host):
            why = f"cannot answer for {host}: use this machine's address or its own name\n"
            await PlainTextResponse(why, 421)(scope, receive, send_with_headers)
            return
        self._tasks.catch_up()
        await self._app(scope, receive, send_with_headers)


def _asked(request: Request) -> dict[str, str]:
    """Parts of the path, which win, and of the query; an empty field of a form asks for nothing."""
    query = {name: value for name, value in request.query_params.items() if value}
    return {**query, **{name: str(value) for name, value in request.path_params.items()}}


def _number(asked: Asked, name: str) -> int | None:
    text = asked.get(name)
    if text is not None and not (text.isascii() and text.isdigit() and len(text) < 16):
        raise BadRequest(f"cannot use {name}={text}: it is a whole number")
    return None if text is None else int(text)


def _paging(request: Request, values: Values) -> dict[str, str]:
    """How many there are in all, and where the next ones are (RFC 8288)."""
    if "total" not in values:
        return {}
    headers = {"x-total-count": str(values["total"])}
    limit = values["limit"]
    if limit and values["offset"] + limit < values["total"]:
        query = urlencode({**request.query_params, "offset": str(values["offset"] + limit)})
        headers["link"] = f'<{request.url.path}?{query}>; rel="next"'
    return headers


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value) + b"\n", status, headers, media_type="application/json")


def _html(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(text, status, headers, media_type="text/html")


def _templates(link: Callable[..., str]) -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(os.path.join(_HERE, "templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.globals["link"] = link
    for word in (words.size, words.cores, words.span, words.moment):
        templates.filters[word.__name__] = word
    return templates
