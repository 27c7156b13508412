"""Base class of refiners."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from multimodal_vae.part import Part


class Refiner(Part, nn.Module, ABC):
    """Turn the samples that a trained model decodes into ones that look like real samples, for one modality.

    A refiner learns after the model, whose weights stay as they are. A subclass creates its networks in :meth:`build`,
    not in its constructor.
    """

    kind = "refiner"

    def __init__(self) -> None:
        super().__init__()

    @abstractmethod
    def build(self, shape: tuple[int, ...], latent_dim: int, classes: int) -> None:
        """Create the networks. The core calls this once.

        Args:
            shape: shape of one sample: (channels, *space) with one to three dimensions of space for signals, pictures
                and volumes; one number for a vector.
            latent_dim: number of latent dimensions.
            classes: number of classes.

        Raises:
            ConfigurationError: if the refiner cannot take samples of this shape.
        """

    @abstractmethod
    def loss(self, coarse: Tensor, target: Tensor, latents: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each sample, (N,), which training minimizes.

        Random numbers come from torch's default generator.

        Args:
            coarse: (N, *shape), expected samples that the decoder gives for ``latents``.
            target: (N, *shape), the real samples that the latents were drawn for.
            latents: (N, latent_dim), draws from the posteriors of the real samples.
            labels: (N,) of int64, class indices; -1 for unlabeled samples.
        """

    def calibrate(self, coarse: Tensor, target: Tensor, latents: Tensor, labels: Tensor) -> None:
        """Adjust to some training samples at the end of the training. By default, do nothing.

        The core calls this once, with the final weights, in evaluation mode, without gradients. What is adjusted
        belongs into buffers, which are saved. Arguments are those of :meth:`loss`.
        """

    @abstractmethod
    def forward(self, coarse: Tensor, latents: Tensor, labels: Tensor, noise: Tensor) -> Tensor:
        """Return refined samples, (N, *shape), in the range of valid samples.

        The result is a function of the arguments alone, row by row: it draws no random numbers.

        Args:
            coarse: as for :meth:`loss`.
            latents: as for :meth:`loss`, but draws from the density of a class.
            labels: as for :meth:`loss`.
            noise: (N, *shape), standard normal; other noise gives another sample.
        """
