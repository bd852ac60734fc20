"""Ports that an announcer maps and tasks mention."""

from __future__ import annotations

import pytest
from running import in_process, task_of

from thermos.formats import TaskFileError
from thermos.formats.aurora import ports


@pytest.mark.parametrize(
    ("portmap", "resolved"),
    [
        ({}, {}),
        ({"http": "80"}, {"http": 80}),
        ({"aurora": "http"}, {"aurora": "http"}),
        ({"aurora": "http", "http": "80"}, {"aurora": 80, "http": 80}),
        ({"a": "b", "b": "c", "c": "d", "x": "7"}, {"a": "d", "b": "d", "c": "d", "x": 7}),
        ({"http": "http"}, {"http": "http"}),
        ({"aurora": "http", "http": "http"}, {"aurora": "http", "http": "http"}),
    ],
)
def test_names_stand_for_numbers_or_for_names_of_ports_to_find(
    portmap: dict[str, str], resolved: dict[str, int | str]
) -> None:
    """CF-6."""
    assert ports.resolve(portmap) == resolved


@pytest.mark.parametrize(
    ("portmap", "circle"),
    [
        ({"a": "b", "b": "a"}, "a -> b -> a"),
        ({"a": "b", "b": "c", "c": "a"}, "a -> b -> c -> a"),
        ({"x": "a", "a": "b", "b": "a"}, "a -> b -> a"),
    ],
)
def test_names_that_lead_in_a_circle_are_refused(portmap: dict[str, str], circle: str) -> None:
    """CF-6."""
    with pytest.raises(ValueError, match=f"its names lead in a circle: {circle}"):
        ports.resolve(portmap)


@pytest.mark.parametrize(
    ("portmap", "mentioned", "wanted"),
    [
        ({"http": "80"}, [], set()),
        ({"http": "80"}, ["http"], set()),
        ({"http": "80"}, ["http", "admin"], {"admin"}),
        ({"http": "aurora"}, [], {"aurora"}),
        ({"http": "aurora"}, ["http"], {"aurora"}),
        ({"aurora": "http"}, [], {"http"}),
        ({"aurora": "http"}, ["http", "admin"], {"http", "admin"}),
        ({}, [], set()),
        ({}, ["http"], {"http"}),
        ({}, ["http", "admin"], {"http", "admin"}),
        ({"a": "b", "b": "80"}, ["a", "b"], set()),
    ],
)
def test_a_host_finds_what_is_neither_static_nor_another_name(
    portmap: dict[str, str], mentioned: list[str], wanted: set[str]
) -> None:
    """CF-7."""
    assert ports.to_find(ports.resolve(portmap), mentioned) == wanted


@pytest.mark.parametrize(
    ("announce", "cmdline", "wanted"),
    [
        ("", "", []),
        ("", "80 {{thermos.ports[a]}} {{thermos.ports[b]}}", ["a", "b"]),
        ("announce=Announcer(portmap={'http': 80}),", "{{thermos.ports[http]}}", []),
        ("announce=Announcer(portmap={'http': 'aurora'}),", "{{thermos.ports[http]}}", ["aurora"]),
        ("announce=Announcer(portmap={'aurora': 'http'}),", "{{thermos.ports[aurora]}}", ["http"]),
        ("announce=Announcer(),", "", ["http"]),
        ("announce=Announcer(primary_port='main'),", "{{thermos.ports[main]}}", ["main"]),
        ("announce=Announcer(portmap={'a': '{{environment}}'}),", "{{thermos.ports[a]}}", ["devel"]),
        ("announce=Announcer(portmap={'a': 'b', 'b': 8080}),", "{{thermos.ports[a]}}{{thermos.ports[b]}}", []),
    ],
)
def test_a_job_says_which_ports_it_needs(announce: str, cmdline: str, wanted: list[str]) -> None:
    """CF-7."""
    text = f"jobs = [Job({announce} cluster='c', role='r', environment='devel', task=SimpleTask('a', 'x {cmdline}'))]"
    assert in_process(text, "aurora").aside["ports"] == wanted


def test_other_names_of_a_port_are_that_port_in_a_command() -> None:
    """E2E-2: the alias is the same number."""
    text = (
        "announce = Announcer(portmap={'alias': 'http', 'admin': 8443, 'far': 'alias'})\n"
        "cmdline = ' '.join('{{thermos.ports[%s]}}' % name for name in ('far', 'alias', 'http', 'admin', 'tcp'))\n"
        "task = SimpleTask('a', cmdline)\n"
        "jobs = [Job(announce=announce, cluster='c', role='r', environment='e', task=task)]"
    )
    assert task_of(in_process(text, "aurora"))["processes"][0]["cmdline"] == "<http> <http> <http> 8443 <tcp>"


def test_a_port_written_as_a_field_is_refused_with_how_to_write_it() -> None:
    with pytest.raises(TaskFileError, match=r"write \{\{thermos.ports\[http\]\}\}, not \{\{thermos.ports.http\}\}"):
        task_of(in_process("export(SimpleTask('a', '{{thermos.ports.http}}'))"))
