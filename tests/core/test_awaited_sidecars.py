"""How much is still awaited of a sidecar never falls below nothing."""

from __future__ import annotations

from fakes import Behaviour, PretendedWorld, a_process, a_task, live

from thermos.core.task import Condition


def test_what_has_come_about_is_not_taken_back_when_its_waiter_is_skipped() -> None:
    task = a_task(
        a_process("prepare", ephemeral=True),
        a_process("try"),
        a_process("proxy", ephemeral=True, after=("prepare",), conditions=(Condition("try", "failed"),)),
        a_process("main", conditions=(Condition("proxy", "started"),)),
    )
    seconds = {"prepare": 1.0, "try": 2.0}
    history = live(PretendedWorld(task, lambda name, run: Behaviour(seconds=seconds[name])))
    assert history.state is not None
    assert [process.awaited for process in history.state.processes] == [0, 0, 0, 0]
    assert [process.status for process in history.state.processes] == ["finished", "finished", "skipped", "skipped"]
