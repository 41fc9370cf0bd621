"""The engines that count rows: DuckDB in this process, or Spark where people already run it, both through Ibis.

What is asked is written once, in Ibis's expressions; an engine opens the folder of rows (`sinks.rows`) and nothing
else. Names that differ in their case only are one column to both of them.
"""

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sidecar.errors import ConfigError, Fault

if TYPE_CHECKING:
    import pyarrow as arrow
    from ibis import Table as Lines
    from pyspark.sql import SparkSession

TIME = "time_us"
"""The column that `read` adds to the others: microseconds of Unix time, quick to count by."""

SPARK_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",  # a variant called 3 is no number
    "spark.sql.parquet.mergeSchema": "true",
    "spark.sql.variable.substitute": "false",  # a category called ${x} is no variable
}
"""Of our own session; what else the cluster is set to stays."""


_NUMBERS = count(1)
"""Of the tables that were read: two of a name would be one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an engine may take.

    Args:
        url: Of Spark the master, `spark://host:7077` or `local[*]`; without it that of the session which there is, or
            this process. DuckDB runs in this process, and takes none.
        memory: `4GiB`. What does not fit is spilled. Without it: of DuckDB 80 % of the machine's, of Spark 1 GiB.
        threads: In this process; as many as there are cores without it.
        spill: A folder.
    """

    url: str = ""
    memory: str = ""
    threads: int | None = None
    spill: Path | None = None


DEFAULTS = Settings()


class Engine(Protocol):
    """Counts rows."""

    def read(self, folder: Path) -> "Lines":
        """The rows of a folder, with the columns of all its files and TIME.

        Raises:
            ConfigError: There are none, or they cannot be read.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class DuckDB:
    """DuckDB in this process."""

    def __init__(self, settings: Settings) -> None:
        try:
            import ibis
            from duckdb import Error
        except ImportError as error:
            raise _missing("duckdb", "report", error) from error
        if settings.url:
            raise ConfigError(Fault("engine", f"duckdb at {settings.url}, expected none: it runs in this process"))
        spill = str(settings.spill) if settings.spill else None
        given = {"memory_limit": settings.memory, "threads": settings.threads, "temp_directory": spill}
        try:
            self._connection = ibis.duckdb.connect(
                ":memory:", **{name: value for name, value in given.items() if value}
            )
        except Error as error:
            raise ConfigError(Fault("engine", f"duckdb: {_line(error)}")) from error
        # The footers of a year of hours are read once, and rows may come in any order: nobody asks for one.
        for setting in ("parquet_metadata_cache = true", "preserve_insertion_order = false"):
            self._connection.raw_sql(f"SET {setting}")

    def read(self, folder: Path) -> "Lines":
        """As `Engine` has it."""
        # By name, and once: a sink that adds files meanwhile must not change what the next question counts.
        files = ", ".join("'" + escape(str(each)).replace("'", "''") + "'" for each in _files(folder))
        options = "hive_partitioning = true, hive_types_autocast = false, union_by_name = true"
        name = f"rows_{next(_NUMBERS)}"
        select = f"SELECT *, epoch_us(time) AS {TIME} FROM read_parquet([{files}], {options})"
        with _refusing(str(folder), "expected decoded rows"):
            self._connection.raw_sql(f"CREATE TEMP VIEW {name} AS {select}")
            return self._connection.table(name)

    def close(self) -> None:
        """As `Engine` has it."""
        self._connection.disconnect()


class Spark:
    """Spark: a cluster's, or in this process; of a session that is there already nothing can be set any more."""

    def __init__(self, settings: Settings) -> None:
        try:
            import ibis
            from pyspark.sql import SparkSession
        except ImportError as error:
            raise _missing("spark", "spark", error) from error
        self._own = SparkSession.getActiveSession() is None
        # Of its own, so that what is set for us is set for nobody else.
        with quiet():
            self._session: SparkSession = _session(settings).newSession()
            for name, value in SPARK_SETTINGS.items():
                self._session.conf.set(name, value)
            self._connection = ibis.pyspark.connect(self._session)

    def read(self, folder: Path) -> "Lines":
        """As `Engine` has it."""
        path = _spelt(str(_with_rows(folder)))
        name = f"rows_{next(_NUMBERS)}"
        with _refusing(str(folder), "expected decoded rows"):
            rows = self._session.read.parquet(path, pathGlobFilter="*.parquet")
            rows.selectExpr("*", f"unix_micros(CAST(time AS TIMESTAMP)) AS {TIME}").createOrReplaceTempView(name)
            return self._connection.table(name)

    def close(self) -> None:
        """As `Engine` has it; somebody else's session goes on."""
        if self._own:
            self._session.stop()


@contextmanager
def quiet() -> Iterator[None]:
    """Around what calls an engine: what it, Ibis, PySpark and pandas hold of each other's versions nobody can mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def fetched(question: "Lines") -> "arrow.Table":
    """What the engine answers.

    Raises:
        ConfigError: It cannot: its memory is too small, its disk full, a file gone.
    """
    with _refusing("engine", "expected an answer"):
        return question.to_pyarrow()


@contextmanager
def _refusing(where: str, expected: str) -> Iterator[None]:
    """Around what calls an engine: its faults as ours."""
    try:
        with quiet():
            yield
    except _failures() as error:
        raise ConfigError(Fault(where, f"{_line(error)}, {expected}")) from error


def _failures() -> tuple[type[Exception], ...]:
    """What the engines that are there raise."""
    found: list[type[Exception]] = []
    if "duckdb" in sys.modules:
        from duckdb import Error

        found.append(Error)
    if "pyspark" in sys.modules:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        found += [Py4JError, PySparkException]
    return tuple(found)


ENGINES: Mapping[str, Callable[[Settings], Engine]] = {"duckdb": DuckDB, "spark": Spark}


def open_engine(name: str, settings: Settings = DEFAULTS) -> Engine:
    """The engine of this name.

    Raises:
        ConfigError: There is none, a package is missing, or it cannot be started so.
    """
    if name not in ENGINES:
        raise ConfigError(Fault("engine", f"{name!r}, expected one of {', '.join(ENGINES)}"))
    return ENGINES[name](settings)


def _session(settings: Settings) -> "SparkSession":
    """A new session, or the one that there is."""
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None and not settings.url:
        return active
    master = settings.url or f"local[{settings.threads or '*'}]"
    builder = SparkSession.builder.master(master).appName("sidecar report")
    builder = builder.config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
    if settings.memory:
        amount = settings.memory.lower().replace("ib", "").replace(" ", "")  # Spark knows 4g, and no 4GiB
        builder = builder.config("spark.driver.memory", amount).config("spark.executor.memory", amount)
    if settings.spill:
        builder = builder.config("spark.local.dir", str(settings.spill))
    try:
        session = builder.getOrCreate()
    except (PySparkException, OSError, RuntimeError) as error:
        told = f"spark at {master} cannot be started: {_line(error)}, expected Java 17 and a master that answers"
        raise ConfigError(Fault("engine", told)) from error
    session.sparkContext.setLogLevel("ERROR")
    return session


def _files(folder: Path) -> list[Path]:
    """The files of rows below it, without those that Spark passes over too."""
    whole = folder.absolute()
    found = [
        path
        for path in sorted(whole.rglob("*.parquet"))
        if not any(part.startswith((".", "_")) for part in path.relative_to(whole).parts)
    ]
    if not found:
        raise ConfigError(Fault(str(folder), "no *.parquet in it, expected a folder of decoded rows"))
    return found


def _with_rows(folder: Path) -> Path:
    _files(folder)
    return folder.absolute()


def _spelt(path: str) -> str:
    """The path, with what is a pattern to Spark's file systems as what it is."""
    return "".join(f"\\{each}" if each in r"\{}[]*?" else each for each in path)


def _missing(engine: str, extra: str, error: ImportError) -> ConfigError:
    return ConfigError(Fault("engine", f"{engine} needs {error.name}: pip install 'sidecar[{extra}]'"))


def _line(error: Exception) -> str:
    """What it says, on one line: Java tells the cause last, below its stacks; others say it first."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return (causes[-1] if causes else lines[0]).strip()[:300]
