"""Apache Kafka as a process: one node that is broker and controller, run from the jars of Maven Central."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.rig import Process, environment, free_address, program, running

VERSION = "4.1.0"
FETCH_S = 600
USER, PASSWORD = "alice", "s3cret of alice"
CLUSTER = "MkU3OEVBNTcwNTJENDM2Qg"

POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"""
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
listeners=PLAIN://{plain},SASL://{sasl},CONTROLLER://{controller}
advertised.listeners=PLAIN://{plain},SASL://{sasl}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listener.security.protocol.map=PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_{user}="{password}";
log.dirs={folder}
num.partitions=3
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
group.initial.rebalance.delay.ms=0
"""


@dataclass(frozen=True)
class Broker:
    """A running broker.

    Args:
        address: Where it listens, for anybody.
        sasl_address: For those who say who they are.
    """

    process: Process
    address: str
    sasl_address: str


def jars() -> Path:
    """The folder of Kafka's jars: $KAFKA_JARS, or one in the user's cache, fetched by Maven where it is not there."""
    given = os.environ.get("KAFKA_JARS")
    folder = Path(given) if given else Path.home() / ".cache" / "sidecar-tests" / f"kafka-{VERSION}"
    if not list(folder.glob("kafka_2.13-*.jar")):
        folder.mkdir(parents=True, exist_ok=True)
        pom = folder / "pom.xml"
        pom.write_text(POM)
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
        subprocess.run([program("mvn"), "-q", "-B", "-f", pom, *goal], check=True, capture_output=True, timeout=FETCH_S)
    return folder


@contextmanager
def broker(folder: Path) -> Iterator[Broker]:
    """A broker with nothing in it, that makes topics as they are named; it keeps them in this folder."""
    java = program("java")
    plain, sasl, controller = free_address(), free_address(), free_address()
    settings = folder / "server.properties"
    settings.write_text(
        PROPERTIES.format(
            plain=plain, sasl=sasl, controller=controller, folder=folder / "log", user=USER, password=PASSWORD
        )
    )
    command: list[str | Path] = [java, "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{jars()}/*"]
    formatting = [*command, "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", settings]
    subprocess.run(formatting, check=True, capture_output=True, env=environment())
    with running([*command, "kafka.Kafka", settings], environment()) as process:
        process.says("Kafka Server started")
        yield Broker(process, plain, sasl)
