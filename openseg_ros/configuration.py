"""Configuration trees: frozen dataclasses with defaults, YAML over them, unknown keys refused."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

Config = TypeVar("Config")


class ConfigurationError(ValueError):
    """A configuration does not fit its dataclass; the message names the key and what is allowed."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping from `path`.

    Raises:
        ConfigurationError: the file is missing, is not YAML, or is not a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"cannot read configuration {path}: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} must hold a mapping, not {type(content).__name__}")
    return content


def build_config(config_type: type[Config], values: Mapping[str, Any], where: str = "") -> Config:
    """Build the frozen dataclass `config_type` from `values`; absent keys keep their defaults.

    Nested mappings become nested dataclasses, lists become tuples, an int is accepted for a float.

    Raises:
        ConfigurationError: an unknown key (the nearest known key is named), a wrong type, or a missing key.
    """
    hints = typing.get_type_hints(config_type)
    known = {field.name for field in dataclasses.fields(config_type)}  # type: ignore[arg-type]
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        path = f"{where}.{key}" if where else str(key)
        if key not in known:
            nearest = difflib.get_close_matches(str(key), known, n=1)
            hint = f"; did you mean '{nearest[0]}'?" if nearest else f"; known keys: {', '.join(sorted(known))}"
            raise ConfigurationError(f"unknown configuration key '{path}'{hint}")
        arguments[key] = _convert(hints[key], value, path)
    try:
        return config_type(**arguments)
    except TypeError as error:
        raise ConfigurationError(f"incomplete configuration {where or config_type.__name__}: {error}") from error


def to_mapping(config: Any) -> dict[str, Any]:
    """The dataclass tree `config` as plain mappings and lists, ready for YAML."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, tuple | list):
            return [plain(item) for item in value]
        return value

    return plain(dataclasses.asdict(config))


def _convert(expected: Any, value: Any, path: str) -> Any:
    origin = typing.get_origin(expected)
    if origin in (types.UnionType, typing.Union):
        options = typing.get_args(expected)
        if value is None and type(None) in options:
            return None
        return _convert(next(option for option in options if option is not type(None)), value, path)
    if origin is typing.Literal:
        if value not in typing.get_args(expected):
            allowed = ", ".join(map(repr, typing.get_args(expected)))
            raise ConfigurationError(f"'{path}' is {value!r}; allowed: {allowed}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigurationError(f"'{path}' must be a list, not {value!r}")
        item_types = typing.get_args(expected)
        if len(item_types) == 2 and item_types[1] is Ellipsis:
            return tuple(_convert(item_types[0], item, f"{path}[{index}]") for index, item in enumerate(value))
        if len(item_types) != len(value):
            raise ConfigurationError(f"'{path}' must have {len(item_types)} values, not {len(value)}")
        pairs = zip(item_types, value, strict=True)
        return tuple(_convert(kind, item, f"{path}[{index}]") for index, (kind, item) in enumerate(pairs))
    if dataclasses.is_dataclass(expected) and isinstance(expected, type):
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"'{path}' must be a mapping, not {value!r}")
        return build_config(expected, value, path)
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise ConfigurationError(f"'{path}' must be {expected.__name__}, not {value!r}")
    return value
