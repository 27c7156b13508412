"""The command ``mmvae-omics``: from ``.h5ad`` and ``.h5mu`` files to a recipe, and from generated samples to them."""

from pathlib import Path

import typer

from multimodal_vae import MultimodalDataset, open_run
from multimodal_vae.cli import run_command
from multimodal_vae_omics.annotated import to_anndata, to_mudata
from multimodal_vae_omics.prepare import prepare

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, result_callback=typer.echo)
app.command(help="Write a manifest and a recipe beside PATH, for mmvae train.")(prepare)


@app.command()
def export(run: Path, folder: Path, out: Path) -> Path:
    """Write the samples that mmvae sample RUN wrote into FOLDER to OUT, an .h5ad or .h5mu file."""
    data = MultimodalDataset.from_manifest(folder / "manifest.csv", open_run(run).model.modalities, cache=False)
    if out.suffix.lower() == ".h5mu":
        to_mudata(data).write(out)
    elif len(data.modalities) == 1:
        to_anndata(data, *data.modalities).write(out)
    else:
        raise typer.BadParameter("the run has several modalities; name an .h5mu file")
    return out


def main() -> None:
    """Run the command; errors are one line, with exit code 2."""
    raise SystemExit(run_command(app))
