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
def settings_make_it_anew(part: Part) -> None:
    """The configuration goes through TOML and makes an equal part anew."""
    table = part.configuration
    try:
        settings: dict[str, Any] = tomllib.loads(tomli_w.dumps(table))
    except TypeError as error:
        expect(False, f"a configuration that TOML cannot hold ({error})", "settings of numbers, text, lists and tables")
        raise
    settings.pop("name", None)
    again = type(part)(**settings)
    expect(again.configuration == table, f"{again.configuration} made from {table}", "the same configuration")


@law(*KINDS)
def copies_share_nothing(part: Part) -> None:
    """A copy is another object, with tensors of its own."""
    exercise(part)
    copied = copy.deepcopy(part)
    expect(copied is not part, "the part itself", "a copy of the part")
    if isinstance(part, nn.Module) and isinstance(copied, nn.Module):
        own = {tensor.data_ptr() for tensor in part.state_dict().values() if tensor.numel()}
        shared = [name for name, tensor in copied.state_dict().items() if tensor.data_ptr() in own]
        expect(not shared, f"{shared} shared by both", "tensors of its own in each")


@law(*KINDS)
def nothing_global_changes_by_use(part: Part) -> None:
    """Using a part changes nothing global: random states, warnings, threads, types, directory, environment, figures."""
    with nothing_global_changes():
        exercise(part)
    expect_no_reseeding(lambda: exercise(copy.deepcopy(part)))
