import ast
import importlib
import importlib.metadata
import inspect
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import multimodal_vae as mv

STUB = ast.parse(Path(mv.__file__).with_suffix(".pyi").read_text("utf-8"))
MODULE_OF = {
    alias.name: f"multimodal_vae.{node.module}"
    for node in STUB.body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}


@pytest.mark.parametrize("name", mv.__all__)
def test_every_public_name_imports_from_where_it_is_said_to_live(name):
    thing = getattr(mv, name)
    assert thing.__module__ == MODULE_OF[name]


def test_a_type_checker_sees_the_public_names_and_their_classes(tmp_path):
    pytest.importorskip("mypy")  # make test-floors has none
    names = ", ".join(mv.__all__)
    (tmp_path / "user.py").write_text(
        f"from multimodal_vae import {names}, __version__\n"
        "import multimodal_vae as mv\n"
        "text: str = __version__\n"
        "logger: mv.Logger = JSONLines()\n"
        "wrong: mv.Modality = logger\n"
        "register(JSONLines, 3)\n"
    )
    quick = ["--no-site-packages", "--ignore-missing-imports", "--follow-imports=silent"]  # torch takes mypy long
    command = [sys.executable, "-m", "mypy", "--strict", *quick, "user.py"]
    environment = os.environ | {"MYPYPATH": str(Path(mv.__file__).parent.parent)}
    checked = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    errors = [line.split(":", 2)[1] for line in checked.stdout.splitlines() if ": error:" in line]
    assert errors == ["5", "6"], checked.stdout


def test_no_public_name_hides_a_module_of_the_package():
    # `multimodal_vae.fit` could not be a function if there were a module of that name.
    modules = {module.name for module in pkgutil.iter_modules(mv.__path__)}
    assert not modules & set(mv.__all__)


def test_dir_lists_all_and_the_version_is_the_distributions():
    assert set(mv.__all__) <= set(dir(mv))
    assert mv.__version__ == importlib.metadata.version("multimodal-vae")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = mv.nonsense


def test_every_module_imports_by_itself_and_says_what_it_is_for():
    for module in pkgutil.walk_packages(mv.__path__, "multimodal_vae."):
        assert importlib.import_module(module.name).__doc__, module.name


def test_every_public_name_is_documented():
    assert not [name for name in mv.__all__ if not inspect.getdoc(getattr(mv, name))]


def test_importing_the_package_loads_nothing_heavy():
    code = "import multimodal_vae, sys; assert not {'torch', 'numpy', 'pydantic', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
