# SPDX-License-Identifier: Apache-2.0
"""Node parameters as a table: default, description, range, choices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

Value = bool | int | float | str


class ParameterError(ValueError):
    """A parameter has a value that the node cannot work with."""


@dataclass(frozen=True)
class Parameter:
    """A read-only parameter; ``minimum`` and ``maximum`` are inclusive."""

    name: str
    default: Value
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def descriptor(self) -> ParameterDescriptor:
        """Return what ``ros2 param describe`` shows."""
        descriptor = ParameterDescriptor(
            name=self.name, description=self.description, read_only=True)
        if self.choices:
            descriptor.additional_constraints = 'one of: ' + ', '.join(self.choices)
        if self.minimum is not None and self.maximum is not None:
            if isinstance(self.default, float):
                descriptor.floating_point_range = [FloatingPointRange(
                    from_value=float(self.minimum), to_value=float(self.maximum))]
            else:
                descriptor.integer_range = [IntegerRange(
                    from_value=int(self.minimum), to_value=int(self.maximum), step=1)]
        return descriptor


def declare(node: Node, parameters: Iterable[Parameter]) -> dict[str, Any]:
    """
    Declare all parameters and return their values by name.

    rclpy checks types and ranges. Raise ParameterError for a value outside the choices, and for
    a parameter given to the node that it does not have.
    """
    values: dict[str, Any] = {}
    for parameter in parameters:
        value = node.declare_parameter(
            parameter.name, parameter.default, parameter.descriptor()).value
        if parameter.choices and value not in parameter.choices:
            raise ParameterError(f'{parameter.name}: expected one of '
                                 f'{", ".join(parameter.choices)}, got {value!r}')
        values[parameter.name] = value
    for name in node._parameter_overrides:
        if not node.has_parameter(name) and not name.startswith('qos_overrides.'):
            raise ParameterError(f'unknown parameter {name!r}: expected one of '
                                 f'{", ".join(sorted(values))}')
    return values
