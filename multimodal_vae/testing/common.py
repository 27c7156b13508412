"""Laws of every kind of part."""

import copy
import tomllib
from typing import Any

import tomli_w
from torch import nn

from multimodal_vae.part import Part
from multimodal_vae.registry import KINDS
from multimodal_vae.testing.exercise import exercise
from multimodal_vae.testing.instruments import expect_no_reseeding, nothing_global_changes
from multimodal_vae.testing.law import expect, law


@law(*KINDS)
def settings_recreate_the_part(part: Part) -> None:
    """The configuration survives TOML and recreates an equal part."""
    table = part.configuration
    try:
        settings: dict[str, Any] = tomllib.loads(tomli_w.dumps(table))
    except TypeError as error:
        expect(False, f"a configuration that TOML cannot hold ({error})", "numbers, text, lists and tables")
        raise
    settings.pop("name", None)
    again = type(part)(**settings)
    expect(again.configuration == table, f"{again.configuration} from {table}", "the same configuration")


@law(*KINDS)
def copies_share_nothing(part: Part) -> None:
    """A deep copy is another object with its own tensors."""
    exercise(part)
    twin = copy.deepcopy(part)
    expect(twin is not part, "the part itself", "a copy of the part")
    if isinstance(part, nn.Module) and isinstance(twin, nn.Module):
        own = {tensor.data_ptr() for tensor in part.state_dict().values() if tensor.numel()}
        shared = [name for name, tensor in twin.state_dict().items() if tensor.data_ptr() in own]
        expect(not shared, f"{shared} shared by both", "separate tensors")


@law(*KINDS)
def use_changes_nothing_global(part: Part) -> None:
    """Use changes nothing global: random states, warnings, threads, default types, directory, environment, figures."""
    with nothing_global_changes():
        exercise(part)
    expect_no_reseeding(lambda: exercise(copy.deepcopy(part)))
