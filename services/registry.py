"""Apicurio Registry, as the archive that Maven Central has."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from pathlib import Path

from services.cache import Part, archive, java
from services.facts import Registry
from services.process import Command
from services.server import HOST, Options, free_ports, remove_folder
from services.versions import image_version

_JAVA_MAJOR = 21
_PORTS = range(29_000, 32_000)


class RegistryServer:
    """Its data are in a file database, so they are kept with Kafka's."""

    name = "registry"
    seconds = 90.0

    def install(self) -> None:
        """Get what the machine lacks."""
        java(_JAVA_MAJOR)
        _folder()

    def facts(self, folder: Path, before: Registry | None) -> Registry:
        """Two ports."""
        wanted = (before.port, before.management_port) if before else (None, None)
        port, management = free_ports(_PORTS, *wanted)
        return Registry(HOST, port, management)

    def command(self, folder: Path, facts: Registry, options: Options) -> Command:
        """Its settings are variables."""
        environment = {
            "QUARKUS_HTTP_HOST": facts.host,
            "QUARKUS_HTTP_PORT": str(facts.port),
            "QUARKUS_MANAGEMENT_HOST": facts.host,
            "QUARKUS_MANAGEMENT_PORT": str(facts.management_port),
            "QUARKUS_LOG_CONSOLE_JSON_ENABLED": "false",
            "APICURIO_STORAGE_KIND": "sql",
            "APICURIO_STORAGE_SQL_KIND": "h2",
            "APICURIO_DATASOURCE_URL": f"jdbc:h2:file:{folder / 'data' / 'registry'}",
        }
        arguments: list[Part] = [
            java(_JAVA_MAJOR),
            "-Xmx512m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
        ]
        return Command([*arguments, "-jar", _folder() / "quarkus-run.jar"], environment)

    def answers(self, facts: Registry) -> bool:
        """Whether the list of subjects is answered."""
        # No proxy between us and loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{facts.url}/subjects", timeout=2) as response:
                return bool(response.status == http.HTTPStatus.OK)
        except (urllib.error.URLError, http.client.HTTPException, OSError):
            return False

    def remove(self, folder: Path) -> None:
        """Remove all data, of a server that is stopped."""
        remove_folder(folder)


def _folder() -> Path:
    version = image_version("apicurio-registry")
    coordinate = f"io.apicurio:apicurio-registry-app:{version}:tar.gz:all"
    return archive(f"apicurio-registry-{version}", coordinate)
