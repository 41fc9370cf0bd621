"""What the tests of reports share."""

import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark() -> "Iterator[SparkSession]":
    """One session for all tests, in a process of its own: it takes seconds to start, and a gigabyte."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PySpark's of the versions of others
        from pyspark.logger import PySparkLogger
        from pyspark.sql import SparkSession

        # pytest hands its own handler to PySpark's loggers, and they would give it their format for good.
        PySparkLogger.addHandler = logging.Logger.addHandler  # type: ignore[assignment]
        settings = {
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.memory": "1g",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.shuffle.partitions": "1",
            "spark.sql.codegen.wholeStage": "false",  # what is compiled for a few rows takes longer than they do
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
        }
        builder = SparkSession.builder.master("local[1]").appName("tests")
        for name, value in settings.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("OFF")
    yield session
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session.stop()
