"""Registered models of an MLflow server: how they are found and made."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

from sidecar.catalog.mlflow_link import Link, Nothing, pages
from sidecar.catalog.mlflow_replies import (
    ModelReply,
    ModelsPage,
    VersionDocument,
    VersionReply,
    VersionsPage,
    as_tags,
    holding,
    quoted,
)
from sidecar.catalog.mlflow_versions import LINKS, parents
from sidecar.errors import ConfigError, ConflictError, UnknownError

PAGE = 100
"""Versions asked for at once: a hundred with long tags are a megabyte or two."""

_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Models:
    """What a server has registered."""

    link: Link

    def names(self) -> list[str]:
        """All of them."""
        found = pages(lambda page: self.link.get("registered-models/search", ModelsPage, max_results=PAGE, **page))
        return sorted({each.name for page in found for each in page.registered_models})

    def aliases(self, group: str) -> dict[str, int]:
        """The number of the version that each alias of a model means.

        Raises:
            UnknownError: There is no such model.
        """
        try:
            model = self.link.get("registered-models/get", ModelReply, name=group).registered_model
        except ConfigError:  # what can be no name
            raise UnknownError(f"there is no model {group!r}") from None
        return {each.alias: each.version for each in model.aliases}

    def version(self, group: str, name: str) -> VersionDocument:
        """A version by its number, or by an alias with `@` before it.

        Raises:
            UnknownError: There is none.
        """
        if name.startswith("@"):
            what, which = "registered-models/alias", {"alias": name[1:]}
        elif _NUMBER.fullmatch(name):
            what, which = "model-versions/get", {"version": name}
        else:
            raise UnknownError(f"{group!r} has no version {name!r}")
        try:
            return self.link.get(what, VersionReply, name=group, **which).model_version
        except ConfigError:  # of an alias that is not there MLflow says that it cannot be one
            raise UnknownError(f"{group!r} has no version {name!r}") from None

    def versions(self, group: str) -> list[VersionDocument]:
        """All versions of a model, the latest first."""
        # What a filter finds may be more than it means: quotes cannot all be quoted.
        found = (each for each in self._search(f"name {quoted(group)}") if each.name == group)
        return sorted({each.version: each for each in found}.values(), key=lambda each: -each.version)

    def children(self, group: str) -> dict[int, list[str]]:
        """The versions, of whatever model, that derive from those of this one, by number."""
        those = self._search(f"tags.`{LINKS}` {holding(f'{group}/')}")
        children: dict[int, list[str]] = {}
        for each in sorted(those, key=lambda each: (each.name, each.version)):
            for parent in parents(each):
                name, _, number = parent.rpartition("/")
                if name == group and _NUMBER.fullmatch(number):
                    children.setdefault(int(number), []).append(f"{each.name}/{each.version}")
        return children

    def add(self, document: Mapping[str, str], tags: Mapping[str, str]) -> VersionDocument:
        """Make a version, and its model where there is none.

        Args:
            document: Its name, source, description and run.
        """
        whole = {**document, "tags": as_tags(tags)}
        try:
            return self.link.send("model-versions/create", VersionReply, whole).model_version
        except UnknownError:
            with suppress(ConflictError):  # another was faster
                self.link.send("registered-models/create", Nothing, {"name": document["name"]})
        return self.link.send("model-versions/create", VersionReply, whole).model_version

    def tag(self, document: VersionDocument, key: str, text: str) -> None:
        """Say something of a version."""
        told = {"name": document.name, "version": str(document.version), "key": key, "value": text}
        self.link.send("model-versions/set-tag", Nothing, told)

    def _search(self, only: str) -> Iterator[VersionDocument]:
        question: dict[str, str | int] = {"filter": only, "max_results": PAGE}
        found = pages(lambda page: self.link.get("model-versions/search", VersionsPage, **question, **page))
        return chain.from_iterable(each.model_versions for each in found)
