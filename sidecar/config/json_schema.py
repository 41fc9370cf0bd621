"""The configuration as a JSON Schema (2020-12), for editors and for checks outside of the sidecar."""

from collections.abc import Callable

import msgspec

from sidecar.config.keys import Families, keys, options, plain, shape
from sidecar.config.schema import AUTO, Config, Part

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Node = dict[str, object]


def schema(families: Families) -> Node:
    """The schema of the file. What must hold between keys it does not say: variables and flags may complete a file.

    Args:
        families: The registries by the path of the key that names their parts.
    """
    (whole,), definitions = msgspec.json.schema_components(
        [Config], schema_hook=_anything, ref_template="#/$defs/{name}"
    )
    del definitions[Part.__name__]
    defaults = {key.path: key.default for key in keys()}
    annotations = {key.path: key.annotation for key in keys()}
    for path in families:
        if "[]" in path:
            continue
        node = _property(definitions, path)
        if node.get("type") == "string":
            node["enum"] = [AUTO, *families[path]]
        elif (inner := shape(annotations[path])).holds(Part):
            told = {"description": node["description"], "default": plain(defaults[path])}
            members = _members(path, families, definitions)
            node.clear()
            node.update({**told, **({"anyOf": [{"type": "null"}, members]} if inner.optional else members)})
        else:
            node["items"] = _members(path, families, definitions)
            node["default"] = plain(defaults[path])
    return {"$schema": DIALECT, **whole, "$defs": definitions}


def _anything(_kind: type) -> Node:
    """The values of Part.options, which the parts' own schemas replace."""
    return {"title": "anything"}


def _property(definitions: dict[str, Node], path: str) -> Node:
    """The node of the key at `path`."""
    node: object = definitions[Config.__name__]
    for name in path.split("."):
        node = _at(node, "properties", name)
        if isinstance(node, dict) and (found := _referred(node)) in definitions:
            node = definitions[found]
    assert isinstance(node, dict)
    return node


def _referred(node: Node) -> str:
    """The name of the definition that a node stands for, null allowed or not; empty where it is none."""
    refs = [node, *node.get("anyOf", [])]  # type: ignore[misc]  # a list of nodes
    return next((str(each["$ref"]).rpartition("/")[2] for each in refs if "$ref" in each), "")


def _at(node: object, *names: str) -> object:
    for name in names:
        assert isinstance(node, dict)
        node = node[name]
    return node


def _members(path: str, families: Families, definitions: dict[str, Node]) -> Node:
    """Any one part of the family at `path`."""
    return {"oneOf": [_part(kind, part, path, families, definitions) for kind, part in families[path].items()]}


def _part(kind: str, part: Callable[..., object], path: str, families: Families, definitions: dict[str, Node]) -> Node:
    known = options(part)
    schemas, more = msgspec.json.schema_components(
        [option.annotation for option in known], schema_hook=_anything, ref_template="#/$defs/{name}"
    )
    definitions.update({name: node for name, node in more.items() if name != Part.__name__})
    properties: Node = {"kind": {"const": kind}}
    for option, node in zip(known, schemas, strict=True):
        inner = f"{path}[].{option.name}"  # parts within parts are of a list of parts
        if inner in families:
            node["items"] = _members(inner, families, definitions)
        properties[option.name] = node if option.required else {**node, "default": plain(option.default)}
    return {
        "type": "object",
        "description": (part.__doc__ or "").partition("\n")[0],
        "properties": properties,
        "required": ["kind", *(option.name for option in known if option.required)],
        "additionalProperties": False,
    }
