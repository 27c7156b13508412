"""Subsets of the present modalities that one training step encodes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from multimodal_vae.transfer import copy_mask, copy_to


@dataclass(frozen=True)
class Subsets:
    """The K subsets of its modalities from which one training step encodes each sample.

    Attributes:
        mask: (K, N, M) of bool, the modalities of each subset; a subset holds present modalities only.
        weight: (K, N), weight of each subset in the loss; a subset of weight zero is not encoded.
        reconstruction_weight: (K, N, M), weight of each modality's reconstruction loss per subset; absent modalities
            count nothing.
    """

    mask: Tensor
    weight: Tensor
    reconstruction_weight: Tensor

    @classmethod
    def whole(cls, present: Tensor) -> "Subsets":
        """Return one subset per sample: all present modalities, which reconstruct every modality.

        Example:
            >>> Subsets.whole(torch.tensor([[True, False]])).mask
            tensor([[[ True, False]]])
        """
        ones = torch.ones(1, *present.shape, device=present.device)
        return cls(present[None], ones[..., 0], ones)


class SubsetBatch:
    """The subsets of a batch on one axis of R rows; each row is one subset of one sample.

    Subsets of weight zero have no row. With one subset per sample, no tensor is copied.

    Args:
        subsets: the subsets, on the CPU.
        device: device of the tensors that are computed with.

    Attributes:
        mask: (R, M) of bool, the modalities of each subset, on the device.
        reconstruction_weight: (R, M), weight of each modality's reconstruction loss, on the device.
        reconstructed: (R, M) of bool, whether this weight is positive, on the CPU.
        rows: (R,), index of the sample of each row, on the CPU.
        weight: (K, N), weight of each subset, on the CPU.
    """

    def __init__(self, subsets: Subsets, device: torch.device) -> None:
        positive = subsets.weight > 0
        mask, reconstruction_weight = subsets.mask[positive], subsets.reconstruction_weight[positive]
        self.mask, self.reconstruction_weight = copy_mask(mask, device), copy_mask(reconstruction_weight, device)
        self.reconstructed = reconstruction_weight > 0
        self.weight, self._weight = subsets.weight, copy_mask(subsets.weight, device)
        self._slots, self.rows = positive.nonzero(as_tuple=True)
        self._single = len(positive) == 1

    def take(self, x: Tensor, rows: Tensor) -> Tensor:
        """Return the samples (N, ...) at some of :attr:`rows`."""
        return x if self._single and len(rows) == len(x) else x[copy_to(rows, x.device)]

    def expand(self, x: Tensor) -> Tensor:
        """Repeat samples (N, ...) for each of their subsets: (R, ...)."""
        return self.take(x, self.rows)

    def scatter(self, x: Tensor) -> Tensor:
        """Arrange rows (R, ...) by sample and subset, (N, K, ...); subsets without a row are zero."""
        count, samples = self.weight.shape
        if self._single and len(x) == samples:
            return x[:, None]
        whole = x.new_zeros(samples, count, *x.shape[1:])
        return whole.index_put((copy_to(self.rows, x.device), copy_to(self._slots, x.device)), x)

    def weighted_sum(self, x: Tensor) -> Tensor:
        """Sum rows (R,) over each sample's subsets by their weights: (N,)."""
        return (self.scatter(x) * self._weight.T).sum(1)
