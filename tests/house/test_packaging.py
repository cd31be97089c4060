"""What a user installs: one pure-Python wheel with the types and without the tests."""

import importlib.metadata
import subprocess
import sys
import zipfile

import pytest

import fad
from tests.house.reading import ROOT, modules


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel once."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_is_pure_python(wheel):
    assert wheel.name == f"fad_autodiff-{fad.__version__}-py3-none-any.whl"


def test_the_wheel_holds_fad_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"fad", f"fad_autodiff-{fad.__version__}.dist-info"}
    assert "fad/py.typed" in names
    missing = {path.relative_to(ROOT).as_posix() for path in modules().values()} - set(names)
    assert not missing, missing


def test_the_version_has_one_source():
    if importlib.metadata.version("fad-autodiff") != fad.__version__:
        pytest.fail("the installed version is stale; install again: remove .venv/.stamp-* and run make test")
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
