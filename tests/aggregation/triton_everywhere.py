"""A pytest plugin under which :class:`Device` uses the Triton kernels for every tensor, for runs in the interpreter."""

from typing import Any

from robustfl.aggregation.kernels import triton_launch, triton_order, triton_sums
from robustfl.aggregation.kernels.device import Device

launches = 0


def pytest_configure() -> None:
    Device.compiled = True  # type: ignore[assignment,method-assign]
    for module in (triton_order, triton_sums):
        module.launch = counted  # type: ignore[attr-defined]


def counted(*arguments: Any, **constants: Any) -> None:
    global launches
    launches += 1
    triton_launch.launch(*arguments, **constants)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.write_line(f"launches: {launches}")
