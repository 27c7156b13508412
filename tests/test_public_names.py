import ast
import importlib
import importlib.metadata
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import multimodal_vae as mv


@pytest.mark.parametrize("name", mv.__all__)
def test_every_public_name_imports_from_where_it_is_said_to_live(name):
    thing = getattr(mv, name)
    assert thing.__module__ == mv._MODULE_OF[name]


def test_what_a_type_checker_sees_is_what_a_program_gets():
    tree = ast.parse(Path(mv.__file__).read_text("utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {(name.name, node.module) for node in block.body for name in node.names}
    assert imported == set(mv._MODULE_OF.items())
    assert all(name.asname == name.name for node in block.body for name in node.names)


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
