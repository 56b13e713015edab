"""What executions did is counted by Workflow, and forgotten with machines that are not in use."""

from __future__ import annotations

from tests.support.engine_rig import make_machine, rig
from torpor.telemetry.metrics import REGISTRY
from torpor.workflows.asl.frontier import Status
from torpor.workflows.engine.usage import count_end, count_transitions, forget
from torpor.workflows.records import MachineType

TWO = {
    "StartAt": "A",
    "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "End": True}},
}


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def test_the_states_of_an_execution_are_counted_for_its_workflow() -> None:
    async with rig({}) as it:
        machine = make_machine(TWO)
        namespace, _, name = machine.name.rpartition(".")
        labels = {"namespace": namespace or "default", "workflow": name, "type": "STANDARD"}
        before = value("torpor_workflow_transitions_total", **labels) or 0.0
        await it.run(TWO, {})
        assert value("torpor_workflow_transitions_total", **labels) == before + 2


def test_express_executions_have_their_time_and_series_that_go() -> None:
    machine = make_machine(TWO, "shop.scan", MachineType.EXPRESS)
    labels = {"namespace": "shop", "workflow": "scan"}
    count_transitions(machine, 3)
    count_transitions(machine, 0)
    count_end(machine, Status.SUCCEEDED, 0.25)
    assert value("torpor_workflow_transitions_total", **labels, type="EXPRESS") == 3
    assert value("torpor_workflow_express_seconds_count", **labels) == 1
    assert value("torpor_workflow_express_seconds_sum", **labels) == 0.25
    forget(machine)
    assert value("torpor_workflow_transitions_total", **labels, type="EXPRESS") is None
    assert value("torpor_workflow_express_seconds_count", **labels) is None
