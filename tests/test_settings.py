from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alcyon.domain.errors import SettingsError
from alcyon.sections import DEV_TOKEN_KEY
from alcyon.settings import Settings, load_settings

SECRET = "a secret that nobody else knows"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings come from the test alone."""
    for name in [name for name in os.environ if name.startswith("ALCYON_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ALCYON_HOME", str(tmp_path))


def test_defaults_need_nothing(tmp_path: Path) -> None:
    settings = load_settings()
    assert settings.home == tmp_path
    assert settings.worker.batch_max == 4096
    assert settings.token.keys().version == 1


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "alcyon.toml").write_text("[worker]\nbatch_max = 7\nsnapshots_kept = 3\n")
    monkeypatch.setenv("ALCYON_WORKER__BATCH_MAX", "9")
    settings = load_settings()
    assert (settings.worker.batch_max, settings.worker.snapshots_kept) == (9, 3)


def test_another_file_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "other.toml"
    monkeypatch.setenv("ALCYON_CONFIG", str(file))
    with pytest.raises(SettingsError, match="is no file"):
        load_settings()
    file.write_text('[log]\nfsync = "never"\n')
    assert load_settings().log.fsync == "never"


@pytest.mark.parametrize("name", ["ALCYON_WORKER__BATCH_MAXX", "ALCYON_WORKERS", "alcyon_x"])
def test_an_unknown_variable_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match=f"unknown variable {name}"):
        load_settings()


@pytest.mark.parametrize("text", ["odd = 1", "[worker]\nodd = 1", "[odd]\nx = 1"])
def test_an_unknown_key_in_the_file_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "alcyon.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"odd.*is not a setting"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALCYON_WORKER__BATCH_MAX", "0"),
        ("ALCYON_WORKER__BATCH_MAX", "5000"),
        ("ALCYON_WORKER__SNAPSHOTS_KEPT", "1"),
        ("ALCYON_LOG__FSYNC", "sometimes"),
        ("ALCYON_ENVIRONMENT", "prod"),
        ("ALCYON_CODEC__DEAD_LETTER_BYTES_MAX", "70000"),
        ("ALCYON_WORKER", "{"),
    ],
)
def test_a_value_out_of_range_is_one_clear_line(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "\n" not in str(caught.value)
    assert name.rpartition("__")[2].removeprefix("ALCYON_").lower() in str(caught.value).lower()


def test_a_file_that_is_no_toml_is_said(tmp_path: Path) -> None:
    (tmp_path / "alcyon.toml").write_text("= 1")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings()


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALCYON_TOKEN__KEY", SECRET)
    settings = load_settings()
    shown = f"{settings!r} {settings} {settings.model_dump_json()} {settings.token.keys()!r}"
    assert SECRET not in shown
    assert settings.token.keys().key == SECRET.encode()


def test_a_short_key_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALCYON_TOKEN__KEY", "tooshort")
    with pytest.raises(SettingsError, match=r"token\.key") as caught:
        load_settings()
    assert "tooshort" not in str(caught.value)


def test_production_refuses_the_development_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALCYON_ENVIRONMENT", "production")
    for key in (None, DEV_TOKEN_KEY):
        if key:
            monkeypatch.setenv("ALCYON_TOKEN__KEY", key)
        with pytest.raises(SettingsError, match="ALCYON_TOKEN__KEY"):
            load_settings()
    monkeypatch.setenv("ALCYON_TOKEN__KEY", SECRET)
    assert load_settings().environment == "production"


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder such as Docker mounts, named."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setenv("ALCYON_SECRETS", str(folder))
    return folder


def test_secrets_are_read_from_files(
    secrets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "alcyon.toml").write_text(f'[token]\nkey = "{"of the file" * 3}"\nversion = 4\n')
    (secrets / "ALCYON_TOKEN__KEY").write_text(f"{SECRET}\n")
    (secrets / "ALCYON_WORKER__BATCH_MAX").write_text("7")
    (secrets / "of_another_program").write_text("x")
    (secrets / "..data").mkdir()  # Kubernetes keeps the files there
    settings = load_settings()
    assert settings.token.key.get_secret_value() == SECRET
    assert (settings.token.version, settings.worker.batch_max) == (4, 7)
    monkeypatch.setenv("ALCYON_WORKER__BATCH_MAX", "9")
    assert load_settings().worker.batch_max == 9


def test_a_secret_that_is_linked_as_kubernetes_does_is_read(secrets: Path) -> None:
    (secrets / "..data").mkdir()
    (secrets / "..data" / "ALCYON_TOKEN__KEY").write_text(SECRET)
    (secrets / "ALCYON_TOKEN__KEY").symlink_to("..data/ALCYON_TOKEN__KEY")
    assert load_settings().token.key.get_secret_value() == SECRET


def test_wrong_secrets_are_one_clear_line(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (secrets / "ALCYON_TOKEN__KEYS").write_text(SECRET)
    with pytest.raises(SettingsError, match=r"unknown secret ALCYON_TOKEN__KEYS: .*TOKEN__KEY\?"):
        load_settings()
    (secrets / "ALCYON_TOKEN__KEYS").rename(secrets / "ALCYON_TOKEN__KEY")
    (secrets / "ALCYON_TOKEN__KEY").write_text("tooshort")
    with pytest.raises(SettingsError, match=r"token\.key") as caught:
        load_settings()
    assert "tooshort" not in str(caught.value)
    monkeypatch.setenv("ALCYON_SECRETS", str(secrets / "ALCYON_TOKEN__KEY"))
    with pytest.raises(SettingsError, match="is no folder"):
        load_settings()


def test_settings_are_frozen() -> None:
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.environment = "production"
    with pytest.raises(ValueError, match="frozen"):
        settings.worker.batch_max = 1


def test_what_is_given_wins(tmp_path: Path) -> None:
    assert load_settings(home=tmp_path / "x").home == tmp_path / "x"
    assert isinstance(load_settings(), Settings)


def test_the_core_imports_no_settings() -> None:
    """Settings take long to import and belong to the edge."""
    code = "import sys, alcyon.codecs.json; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_models_are_in_the_home_or_in_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().models.registry == "folder"
    for uri in ("sqlite:///m.db", "http://127.0.0.1:5000", "https://m", "postgresql://u:p@h/d"):
        monkeypatch.setenv("ALCYON_MODELS__REGISTRY", uri)
        assert load_settings().models.registry == uri
    for wrong in ("mlruns", "file:///m", "ftp://m", "sqlite://m"):
        monkeypatch.setenv("ALCYON_MODELS__REGISTRY", wrong)
        with pytest.raises(SettingsError, match=r"models\.registry: is neither folder nor"):
            load_settings()


@pytest.mark.parametrize(
    "place", ["worker:9464", "10.0.0.7:9464", "[::1]:9464", "[fe80::1%eth0]:1"]
)
def test_a_place_is_a_host_and_a_port(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALCYON_SERVE__WORKER_AT", place)
    assert load_settings().serve.worker_at == place


@pytest.mark.parametrize(
    "text",
    ["worker", "9464", ":9464", "::1:9464", "[::1]", "[::1:9464", "worker:65536", "worker:x",
     "a b:1", " worker:9464", "http://worker:9464", "worker:9464/", "ada@worker:9464", "worker:"],
)  # fmt: skip
def test_a_place_that_is_none_is_one_clear_line(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALCYON_SERVE__WORKER_AT", text)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    wanted = "is no host:port, as in worker:9464 or [::1]:9464"
    assert str(caught.value) == f"serve.worker_at: {wanted}"
