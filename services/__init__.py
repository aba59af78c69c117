"""Real servers for tests and development, without docker: Kafka, PostgreSQL, Redis, a registry.

    python -m services up            # start them and write .services/env
    set -a; . .services/env          # every ALCYON_* setting that `alcyon run` needs
    python -m services down          # stop them and remove their data

`compose.yaml` holds the same servers for docker; its image tags are the versions used here.
"""

from services.facts import Kafka, Postgres, Redis, Registry, ServiceError
from services.folder import NAMES, Folder, Status
from services.server import Options

__all__ = [
    "NAMES",
    "Folder",
    "Kafka",
    "Options",
    "Postgres",
    "Redis",
    "Registry",
    "ServiceError",
    "Status",
]
