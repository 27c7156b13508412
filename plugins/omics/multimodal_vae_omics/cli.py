"""The command ``mmvae-omics``: from ``.h5ad`` and ``.h5mu`` files to a recipe, and from generated samples to them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from multimodal_vae import MultimodalDataset, MultimodalVAEError, open_run
from multimodal_vae_omics.annotated import to_anndata, to_mudata
from multimodal_vae_omics.prepare import prepare
from multimodal_vae_omics.variable import Criterion

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


@app.command("prepare")
def _prepare(
    file: Path,
    label: Annotated[str, typer.Option(help="column of obs with the classes")],
    patient: Annotated[str | None, typer.Option(help="column of obs with the patients")] = None,
    features: Annotated[int, typer.Option(help="number of features per modality", min=1)] = 2000,
    layer: Annotated[str | None, typer.Option(help="layer of raw counts; default X")] = None,
    by: Annotated[Criterion, typer.Option(help="how to choose features")] = "dispersion",
    seed: Annotated[int, typer.Option(help="of the split")] = 0,
) -> None:
    """Write a manifest and a recipe beside FILE, for mmvae train."""
    typer.echo(f"written: {prepare(file, label, patient, features, layer, by, seed=seed)}")


@app.command()
def export(run: Path, folder: Path, out: Path) -> None:
    """Write the samples that mmvae sample RUN wrote into FOLDER to OUT, an .h5ad or .h5mu file."""
    data = MultimodalDataset.from_manifest(folder / "manifest.csv", open_run(run).model.modalities, cache=False)
    single = out.suffix.lower() != ".h5mu"
    if single and len(data.modalities) > 1:
        raise typer.BadParameter("the run has several modalities; name an .h5mu file")
    annotated: Any = to_anndata(data, next(iter(data.modalities))) if single else to_mudata(data)
    annotated.write(out)
    typer.echo(f"written: {out}")


def main() -> None:
    """Run the command; errors are one line, with exit code 2."""
    try:
        app()
    except MultimodalVAEError as error:
        typer.echo(f"mmvae-omics: {error}", err=True)
        raise SystemExit(2) from error
