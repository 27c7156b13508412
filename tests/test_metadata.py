"""Metadata of the distributions agree with each other, with the changelog and with the README."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECTS = {
    file.parent.relative_to(ROOT).as_posix(): tomllib.loads(file.read_text("utf-8"))["project"]
    for file in (ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml")))
}
CORE = PROJECTS["."]


@pytest.mark.parametrize("folder", PROJECTS)
def test_distributions_share_what_is_common_to_all(folder):
    project = PROJECTS[folder]
    for key in ("version", "license", "license-files", "authors", "requires-python"):
        assert project[key] == CORE[key]
    assert {*project["classifiers"]} <= {*CORE["classifiers"]}
    assert (ROOT / folder / "LICENSE").read_text("utf-8") == (ROOT / "LICENSE").read_text("utf-8")


def test_requirements_among_distributions_admit_this_minor_version_only():
    version = Version(CORE["version"])
    lines = [line for project in PROJECTS.values() for line in project["dependencies"]]
    lines += [line for extra in CORE["optional-dependencies"].values() for line in extra]
    among = [each for each in map(Requirement, lines) if each.name.startswith("multimodal-vae")]
    assert {each.name for each in among} == {project["name"] for project in PROJECTS.values()}
    for each in among:
        assert each.specifier.contains(CORE["version"])
        assert not each.specifier.contains(f"{version.major}.{version.minor + 1}.0")
        assert not each.specifier.contains(f"{version.major}.{version.minor - 1}.0")


def test_changelog_and_readme_name_this_version():
    heading = re.compile(r"^## \[(\d.*?)\] - \d{4}-\d\d-\d\d$", re.MULTILINE)
    assert heading.search((ROOT / "CHANGELOG.md").read_text("utf-8"))[1] == CORE["version"]
    assert f"Version {CORE['version'].rpartition('.')[0]} " in (ROOT / "README.md").read_text("utf-8")
