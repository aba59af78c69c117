"""One Kafka broker, its own controller (KRaft), from the jars that Maven Central has."""

from __future__ import annotations

import base64
import uuid
from pathlib import Path

from services.cache import Part, jars, java, needed, run
from services.certificates import certificates
from services.facts import Kafka
from services.process import Command
from services.server import (
    HOST,
    Options,
    free_ports,
    new_password,
    remove_folder,
    write_secret,
)
from services.versions import LOG4J, image_version

_JAVA_MAJOR = 17
_PORTS = range(20_000, 23_000)
_QUICK = ("-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Starts in 2 s and stays small."""
_THROUGHPUT = (
    "-Xms2g", "-Xmx2g", "-Xmn1400m", "-XX:+UseParallelGC", "-XX:+AlwaysPreTouch",
)  # fmt: skip
"""Hardly anything of a broker's memory lives long: with a large young generation the parallel
collector stops it briefly and seldom. What ZGC does instead of stopping costs more time than that;
with G1, pauses of 10 to 110 ms made most of a payment's p99."""
_SCRAM = "SCRAM-SHA-512"


class KafkaServer:
    """The TLS listeners are always on: they cost 0.2 s."""

    name = "kafka"
    seconds = 60.0

    def install(self) -> None:
        """Get what the machine lacks."""
        java(_JAVA_MAJOR)
        needed("openssl", "openssl")
        _jars()

    def facts(self, folder: Path, before: Kafka | None) -> Kafka:
        """Certificates, the SCRAM user, and four ports."""
        *listeners, controller = free_ports(_PORTS, *_ports(before))
        bootstrap, sasl_ssl, mtls = (f"{HOST}:{port}" for port in listeners)
        files = certificates(folder / "tls")
        return Kafka(
            bootstrap=bootstrap,
            sasl_ssl_bootstrap=sasl_ssl,
            mtls_bootstrap=mtls,
            controller_port=controller,
            username="alcyon",
            password=before.password if before else new_password(),
            ca=str(files.ca),
            certificate=str(files.client),
            certificate_key=str(files.client_key),
        )

    def command(self, folder: Path, facts: Kafka, options: Options) -> Command:
        """Format the data folder once, and run."""
        configuration = folder / "server.properties"
        write_secret(configuration, _properties(folder, facts))
        classes: list[Part] = ["-cp", f"{_jars()}/*"]
        memory = _THROUGHPUT if options.throughput else _QUICK
        if not (folder / "data" / "meta.properties").exists():
            user = f"{_SCRAM}=[name={facts.username},password={facts.password}]"
            # From 0: an id that begins with "-" would be taken for an option.
            cluster = base64.urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
            tool = [java(_JAVA_MAJOR), *_QUICK, *classes, "kafka.tools.StorageTool"]
            run([*tool, "format", "-c", configuration, "-t", cluster, "--add-scram", user])
        program = [java(_JAVA_MAJOR), *memory, "-Dlog4j2.level=WARN", *classes]
        return Command([*program, "kafka.Kafka", configuration])

    def answers(self, facts: Kafka) -> bool:
        """Whether metadata is answered, of a broker that has joined its controller."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        # log_level 0: that it is not up yet is no news.
        client = AdminClient({"bootstrap.servers": facts.bootstrap, "log_level": 0})
        try:
            return bool(client.list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    def remove(self, folder: Path) -> None:
        """Remove all data, of a server that is stopped."""
        remove_folder(folder)


def _ports(facts: Kafka | None) -> list[int | None]:
    if facts is None:
        return [None] * 4
    addresses = (facts.bootstrap, facts.sasl_ssl_bootstrap, facts.mtls_bootstrap)
    return [*(int(address.rpartition(":")[2]) for address in addresses), facts.controller_port]


def _jars() -> Path:
    version = image_version("kafka")
    return jars(
        f"kafka-{version}",
        [
            f"org.apache.kafka:kafka_2.13:{version}",
            f"org.apache.logging.log4j:log4j-api:{LOG4J}",
            f"org.apache.logging.log4j:log4j-core:{LOG4J}",
            f"org.apache.logging.log4j:log4j-slf4j-impl:{LOG4J}",
        ],
    )


def _properties(folder: Path, facts: Kafka) -> str:
    listeners = (
        f"PLAINTEXT://{facts.bootstrap},SASL_SSL://{facts.sasl_ssl_bootstrap},"
        f"MTLS://{facts.mtls_bootstrap}"
    )
    controller = f"{HOST}:{facts.controller_port}"
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{controller}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listeners": f"{listeners},CONTROLLER://{controller}",
        "advertised.listeners": listeners,
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,MTLS:SSL,CONTROLLER:PLAINTEXT"
        ),
        "log.dirs": folder / "data",
        **_SINGLE_NODE,
        **_security(folder),
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())


_SINGLE_NODE: dict[str, object] = {
    # Rights can be given and taken; without any, everybody may do all, as without an authoriser.
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
    "allow.everyone.if.no.acl.found": "true",
    # Topics are made on purpose, with a number of partitions.
    "auto.create.topics.enable": "false",
    # Records may carry event times of years ago, by which retention goes. `down` removes them.
    "log.retention.ms": -1,
    # There is one broker. One partition each: quick to load, and one coordinator to find.
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "share.coordinator.state.topic.num.partitions": 1,
    # A first member need not wait three seconds for others.
    "group.initial.rebalance.delay.ms": 0,
    # After kill -9 a broker is let in again when its old session has ended: nine seconds else.
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
}


def _security(folder: Path) -> dict[str, object]:
    files = certificates(folder / "tls")
    scram = f"listener.name.sasl_ssl.{_SCRAM.lower()}.sasl.jaas.config"
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": files.broker,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": files.ca,
        "listener.name.mtls.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": _SCRAM,
        scram: "org.apache.kafka.common.security.scram.ScramLoginModule required;",
    }
