"""The oldest versions that pyproject.toml accepts; run as a program, it prints them as constraints for pip."""

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?>=([0-9][0-9.]*)")


def oldest(requirements) -> dict[str, str]:
    """The lower bound of each package. rnnkit's own extras have none.

    Raises
    ------
    ValueError
        If a requirement is not of the form ``name[extras]>=version``, or a package has two bounds.
    """
    bounds: dict[str, str] = {}
    for requirement in requirements:
        if requirement.startswith("rnnkit["):
            continue
        found = REQUIREMENT.fullmatch(requirement)
        if found is None:
            raise ValueError(f"expected a requirement like 'numpy>=1.26'; got {requirement!r}")
        name, version = found.groups()
        if bounds.setdefault(name, version) != version:
            raise ValueError(f"expected one lower bound of {name}; got {bounds[name]} and {version}")
    return bounds


def of_project() -> dict[str, str]:
    """The lower bounds of the dependencies and of all extras."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    return oldest([*project["dependencies"], *(one for extra in extras for one in extra)])


if __name__ == "__main__":
    for name, version in of_project().items():
        print(f"{name}=={version}")
