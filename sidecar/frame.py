"""What a course is of: a configuration as the file has it, and what becomes of courses under it. No I/O.

Of the configuration and of what was changed since, the later counts: a configuration whose routes are others than when
they were last taken from there is a change like any other. In a fleet a sidecar that starts may have an older one than
those that run; what was declared before and then replaced is left there.
"""

from typing import NamedTuple, Self

from sidecar.config.routes import merged, parse_routes, routes_of, with_routes
from sidecar.config.schema import Config
from sidecar.entries import Change
from sidecar.routing import changes
from sidecar.routing.course import Course, decode, serving
from sidecar.routing.rollout import Plan

CONFIGURATION = "configuration"
"""Who has changed what the configuration says."""


class Frame(NamedTuple):
    """What a course is of.

    Args:
        config: As the file and its like have it.
        plan: Of its rollout, if there is to be one.
    """

    config: Config
    plan: Plan | None

    @classmethod
    def of(cls, config: Config) -> Self:
        """With the rollout of the configuration."""
        rollout = config.rollout
        if rollout is None:
            return cls(config, None)
        plan = Plan(
            champion=rollout.champion,
            challenger=rollout.challenger,
            steps=rollout.steps,
            pause_s=rollout.pause_s,
            min_rows=rollout.min_rows,
            finish=rollout.finish,
        )
        return cls(config, plan)

    @property
    def fingerprint(self) -> str:
        """Of the configuration's routes."""
        return routes_of(self.config).fingerprint

    def fitting(self, course: Course) -> Config:
        """The configuration with the routes of a course; raises ConfigError where these do not fit the rest of it."""
        with_routes(self.config, parse_routes(course.routes))
        return merged(self.config, serving(course))

    def usable(self, document: bytes) -> Course:
        """What was kept.

        Raises:
            ValueError: It is something else.
            ConfigError: It does not fit this configuration.
        """
        course = decode(document)
        self.fitting(course)
        return course

    def declared(self, before: Course | None, now_s: float, revision: int = 1) -> Course:
        """The course with the configuration's routes.

        Args:
            before: None for none.
            revision: Where there was none.
        """
        change = Change(now_s, CONFIGURATION, "routes", "" if before else "the first")
        return changes.declared(before, self.plan, routes_of(self.config), change, revision)

    def taken_up(self, course: Course, now_s: float, *, earlier: str = "", shared: bool = False) -> Course:
        """The course under this configuration; the same object where that changes nothing.

        Args:
            earlier: Fingerprint of the routes of the configuration before; empty at the start.
            shared: Others of a fleet have the same course.

        Raises:
            ConfigError: It does not fit this configuration.
        """
        own, last = self.fingerprint, "".join(course.declared[-1:])
        # Others of the fleet have gone on meanwhile, and this one comes after them, one step behind.
        late = shared and earlier not in {"", last} and own in course.declared
        if own not in {last, earlier} and not late:
            return self.declared(course, now_s)
        self.fitting(course)
        fitted = changes.fitted(course, self.plan)
        return course if fitted == course else fitted.after(Change(now_s, CONFIGURATION, "rollout", ""))
