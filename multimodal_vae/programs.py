"""Encoder and decoder of a model as programs of ``torch.export``, which run without this package."""

import copy
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from multimodal_vae.checks import checked
from multimodal_vae.errors import ConfigurationError, one_line
from multimodal_vae.files import new_folder, write_json
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.part import plain
from multimodal_vae.scopes import evaluating

ENCODER, DECODER, DESCRIPTION = "encoder.pt2", "decoder.pt2", "model.json"


@checked
def export(vae: MultimodalVAE, out: str | Path) -> Path:
    """Write a model's encoder and decoder as programs of ``torch.export``, which run without this package.

    Both programs compute in float32 on a CPU and take batches of any size, except empty ones:

    - ``encoder.pt2`` maps samples by modality, (N, *shape) each, and a mask (N, M) of bool to mean and log-variance of
      the latent, (N, latent_dim) each, as :meth:`~multimodal_vae.model.MultimodalVAE.encode` does. The mask is true
      where a sample has a modality; elsewhere, its values do not matter. If the fusion needs every modality, the
      results for other samples are NaN.
    - ``decoder.pt2`` maps latents (N, latent_dim) to expected samples by modality, (N, *shape) each, as
      :meth:`~multimodal_vae.model.MultimodalVAE.generate` does.
    - ``model.json`` describes their inputs and outputs: the modalities in the order of the mask, with kind, shape and
      range of values; classes, ``latent_dim`` and covariates.

    If the model has covariates, both programs take them as their last argument: (N, C), numbers or indices of words,
    NaN where a value is missing.

    The files hold no pickle and no path of this machine. They do not hold the code that reads files, the densities,
    the observation noise and the refiners.

    Args:
        vae: trained model; it is not changed.
        out: folder to create.

    Returns:
        The folder.

    Raises:
        ConfigurationError: if the code of a part depends on values or on the number of samples, or if this version of
            torch would store pickled data.
        RunError: if the folder exists and is not empty, or cannot be written.

    Example:
        >>> import tempfile
        >>> from multimodal_vae import MultimodalVAE, Vector
        >>> vae = MultimodalVAE({"blood": Vector(size=5)}, ["well", "ill"], latent_dim=4, seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     decoder = torch.export.load(export(vae, f"{folder}/exported") / "decoder.pt2").module()
        >>> decoder(torch.zeros(3, 4))["blood"].shape
        torch.Size([3, 5])
    """
    out = Path(out)
    vae = copy.deepcopy(vae).cpu()
    rows = 3  # any number but 1, for which torch would make a program of its own
    samples = {name: torch.zeros(rows, *modality.shape) for name, modality in vae.modalities.items()}
    present = torch.ones(rows, len(samples), dtype=torch.bool)
    latents = torch.zeros(rows, vae.latent_dim)
    covariates = [torch.zeros(rows, len(vae.covariates))] if vae.covariates else []
    with new_folder(out) as folder:
        _write(folder / ENCODER, "encoder", _Encoder(vae), samples, present, *covariates)
        _write(folder / DECODER, "decoder", _Decoder(vae), latents, *covariates)
        write_json(folder / DESCRIPTION, _description(vae))
    return out


class _Encoder(nn.Module):
    def __init__(self, vae: MultimodalVAE) -> None:
        super().__init__()
        self.vae = _only(vae, "encoders", "fusion", "conditions")

    def forward(
        self, samples: Mapping[str, Tensor], present: Tensor, covariates: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        posterior = self.vae.posterior(samples, present, covariates)
        return posterior.mean, posterior.logvar


class _Decoder(nn.Module):
    def __init__(self, vae: MultimodalVAE) -> None:
        super().__init__()
        self.vae = _only(vae, "decoders", "conditions")

    def forward(self, latents: Tensor, covariates: Tensor | None = None) -> dict[str, Tensor]:
        decoded = self.vae.decode(latents, covariates=covariates)
        return {name: modality.observe(decoded[name]) for name, modality in self.vae.modalities.items()}


def _only(vae: MultimodalVAE, *networks: str) -> MultimodalVAE:
    """Return a copy whose other networks have no weights, since a program holds the weights of all."""
    part = copy.copy(vae)
    part._modules = {
        name: network if network is None or name in networks else _without_weights(network)
        for name, network in vae._modules.items()
    }
    return part


def _without_weights(network: nn.Module) -> nn.Module:
    bare = copy.copy(network)
    bare._parameters, bare._buffers, bare._modules = {}, {}, {}
    return bare


def _write(path: Path, what: str, network: nn.Module, *inputs: Any) -> None:
    rows = torch.export.Dim("rows", min=1)
    shapes = tuple({name: {0: rows} for name in x} if isinstance(x, dict) else {0: rows} for x in inputs)
    try:
        with evaluating(network):
            program = torch.export.export(network, inputs, dynamic_shapes=shapes, strict=False)
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # it holds paths of this machine
        program.example_inputs = None  # torch would pickle them
        torch.export.save(program, path)
    except RuntimeError as error:
        raise ConfigurationError(
            f"the {what} cannot be exported: its code depends on values or on the number of samples: {one_line(error)}"
        ) from error
    _require_no_pickle(path)


def _require_no_pickle(path: Path) -> None:
    """Raise ConfigurationError if an archive holds pickled tensors or inputs."""
    with zipfile.ZipFile(path) as archive:
        for each in archive.infolist():
            marked = each.filename.endswith("_config.json") and b'"use_pickle": true' in archive.read(each)
            if marked or (each.filename.endswith(".pt") and each.file_size):
                raise ConfigurationError(
                    f"torch {torch.__version__} would store pickled data in {path.name}; install torch 2.13 or later"
                )


def _description(vae: MultimodalVAE) -> dict[str, Any]:
    """Return the content of ``model.json``."""
    return {
        "modalities": {
            name: {"kind": modality.name, "shape": modality.shape, "range": modality.range}
            for name, modality in vae.modalities.items()
        },
        "classes": vae.classes,
        "latent_dim": vae.latent_dim,
        "covariates": plain(vae.covariates),
    }
