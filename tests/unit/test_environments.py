"""Every way to make the environment installs the same lock, with the same Python."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
LOCK = dict(re.findall(r"^([a-z0-9_.-]+)==(\S+)", (PROJECT / "requirements.lock").read_text(), re.M))
PLACES = ("Makefile", "envs/memflow.post-deploy.sh", "containers/Dockerfile", "containers/memflow.def")


@pytest.mark.parametrize("place", PLACES)
def test_it_installs_the_lock_and_pins_nothing_itself(place):
    text = (PROJECT / place).read_text()
    assert re.search(r"pip install .*requirements\.lock", text)
    assert "==" not in re.sub(r"--[a-z-]+==", "", text)


def test_conda_has_nothing_but_python_and_pip():
    environment = yaml.safe_load((PROJECT / "envs/memflow.yaml").read_text())
    assert {re.split(r"[ =<>]", package)[0] for package in environment["dependencies"]} == {"python", "pip"}


@pytest.mark.parametrize(
    "place", ["envs/memflow.yaml", "containers/Dockerfile", "containers/memflow.def", "pyproject.toml"]
)
def test_the_python_is_the_same(place):
    assert set(re.findall(r"python\D{0,12}(3\.\d+)", (PROJECT / place).read_text())) == {"3.11"}


def test_the_lock_holds_every_dependency_and_this_environment_is_the_lock():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {re.split(r"[\[=<>]", requirement)[0].lower() for requirement in wanted}
    assert names - LOCK.keys() == set()
    assert {name: version(name).partition("+")[0] for name in names} == {name: LOCK[name] for name in names}
