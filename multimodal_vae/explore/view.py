"""What the page asks for: a class, a position in its latent, and what to hide."""

from typing import Annotated, Self

import pydantic

from multimodal_vae.errors import ConfigurationError
from multimodal_vae.part import explain
from multimodal_vae.scopes import Seed

FARTHEST = 3.0
"""Largest position along a main direction, in standard deviations."""
HOTTEST = 2.0
"""Largest temperature."""


class View(pydantic.BaseModel):
    """One state of the page.

    Attributes:
        label: the class.
        position: position along each main direction of the class, in standard deviations. Default: the class mean.
        seed: seed of the sample whose rest, which the directions leave out, is kept. Default: no rest.
        temperature: factor on the distance from the class mean.
        hidden: modality to infer from the others. Default: none.
        refine: whether to refine the modalities that have a refiner.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    label: str
    position: tuple[Annotated[float, pydantic.Field(ge=-FARTHEST, le=FARTHEST)], ...] = ()
    seed: Seed | None = None
    temperature: Annotated[float, pydantic.Field(ge=0, le=HOTTEST)] = 1.0
    hidden: str | None = None
    refine: bool = True

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the view that a JSON text describes.

        Raises:
            ConfigurationError: naming the field at fault.
        """
        try:
            return cls.model_validate_json(text)
        except pydantic.ValidationError as error:
            raise ConfigurationError(f"the view is invalid: {explain(error)}") from error
