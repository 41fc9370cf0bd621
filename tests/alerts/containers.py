"""What a container of a Job finds in its environment, by the rules of Kubernetes."""

import re

from sidecar.records import JSON

_VARIABLE = re.compile(r"\$(\$|\(([^)]*)\)|)")


def expanded(value: str, variables: dict[str, str]) -> str:
    """The value of a variable as its container sees it: `$(NAME)` replaced where there is one, `$$` a dollar."""

    def replaced(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return variables.get(match[2], match[0]) if match[2] is not None else match[0]

    return _VARIABLE.sub(replaced, value)


def environment(container: JSON) -> dict[str, str]:
    """What a container of a Job would find in its environment."""
    variables: dict[str, str] = {}
    for each in container.get("env", []):
        variables[each["name"]] = expanded(each.get("value", ""), variables)
    return variables
