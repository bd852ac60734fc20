"""`thermos inspect` of an .aurora file: what has an effect here is not said to have none."""

from __future__ import annotations

from pathlib import Path

import pytest
from task_directories import Cli

FILE = """\
task = Task(name='t', processes=[Process(name='p', cmdline='true')],
            resources=Resources(cpu=1, ram=64*MB, disk=64*MB))
jobs = [Job(cluster='c', role='nobody', environment='prod', name='j', task=task, container={container})]
"""
CONTAINERS = [
    "Docker(image='a/b:1', parameters=[Parameter(name='volume', value='/a:/b')])",
    "Container(docker=Docker(image='a/b:1', parameters=[Parameter(name='volume', value='/a:/b')]))",
    "Mesos(image=DockerImage(name='a/b', tag='1'), volumes=[Volume(container_path='/b', host_path='/a', mode='RO')])",
]


@pytest.mark.parametrize("container", CONTAINERS)
def test_user_limits_image_and_volumes_are_not_without_effect(cli: Cli, tmp_path: Path, container: str) -> None:
    file = tmp_path / "job.aurora"
    file.write_text(FILE.replace("{container}", container))
    status, out, err = cli.run("inspect", str(file))
    assert (status, err) == (0, "")
    task, kept = out.split("\nkept, and without effect here:\n")
    said = [line.split()[0] for line in task.splitlines() if line.startswith("  ")]
    assert {"user", "resources.disk", "sandbox.rootfs"} <= set(said)
    names = [line.split()[0] for line in kept.splitlines() if line.startswith("  ") and line[2] != " "]
    assert {"key", "job.name", "job.cluster", "job.environment"} <= set(names)
    rest = set(names) - {"key", "job.name", "job.cluster", "job.environment"}
    assert rest <= {"job.container.parameters", "job.container.docker.parameters"}
    assert bool(rest) == ("Parameter(" in container)
