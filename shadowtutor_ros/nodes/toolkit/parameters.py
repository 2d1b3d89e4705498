# SPDX-License-Identifier: Apache-2.0
"""Node parameters as a table: default, description, range, choices."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
import rclpy.parameter

Value = bool | int | float | str

_INTEGER = rclpy.parameter.Parameter.Type.INTEGER
_BOOL = rclpy.parameter.Parameter.Type.BOOL
_OFF = 'off'  # a bool to YAML


class ParameterError(ValueError):
    """A parameter has a value that the node cannot work with."""


@dataclass(frozen=True)
class Parameter:
    """``minimum`` and ``maximum`` are inclusive; ``live`` may change while the node runs."""

    name: str
    default: Value
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False

    def descriptor(self) -> ParameterDescriptor:
        """Return what ``ros2 param describe`` shows."""
        descriptor = ParameterDescriptor(
            name=self.name, description=self.description, read_only=not self.live)
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

    A whole number will do for a text, as a camera's index, and for a number with a fraction:
    that is what YAML makes of digits; of a choice ``off`` it makes false, which will do, too. Else
    rclpy checks types and ranges. Raise ParameterError for a value outside the choices, and for a
    parameter given to the node that it does not have.
    """
    values: dict[str, Any] = {}
    for parameter in parameters:
        _accept(node, parameter)
        value = node.declare_parameter(
            parameter.name, parameter.default, parameter.descriptor()).value
        _check_choice(parameter, value)
        values[parameter.name] = value
    for name in node._parameter_overrides:  # rclpy tells nobody what was given but not declared
        if not node.has_parameter(name) and not name.startswith('qos_overrides.'):
            raise ParameterError(f'unknown parameter {name!r}: expected one of '
                                 f'{", ".join(sorted(values))}')
    return values


def keep_live(
    node: Node, parameters: Iterable[Parameter], values: dict[str, Any],
    apply: Callable[[dict[str, Any]], None],
) -> None:
    """
    Let the live ones of ``parameters`` change from now on, those of one request all or none.

    ``apply`` gets all values as they would be and raises ValueError to refuse them, before it
    changes anything; else ``values`` has them too. rclpy checks types, ranges and read-only.
    """
    table = {parameter.name: parameter for parameter in parameters}

    def on_set(changes: list[rclpy.parameter.Parameter]) -> SetParametersResult:
        wanted = dict(values)
        try:
            for change in changes:
                if change.name in table:
                    _check_choice(table[change.name], change.value)
                    wanted[change.name] = change.value
            apply(wanted)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        values.update(wanted)
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(on_set)


def _accept(node: Node, parameter: Parameter) -> None:
    """Let what was given to the node be of the type that the parameter has."""
    given = node._parameter_overrides.get(parameter.name)
    kind = type(parameter.default)
    if given is None:
        return
    if given.type_ is _INTEGER and kind in (str, float):
        value = kind(given.value)
    elif given.type_ is _BOOL and not given.value and _OFF in parameter.choices:
        value = _OFF
    else:
        return
    node._parameter_overrides[parameter.name] = rclpy.parameter.Parameter(
        parameter.name, value=value)


def _check_choice(parameter: Parameter, value: Value) -> None:
    if parameter.choices and value not in parameter.choices:
        raise ParameterError(f'{parameter.name}: expected one of '
                             f'{", ".join(parameter.choices)}, got {value!r}')
