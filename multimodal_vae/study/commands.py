"""The commands of the package; thin, as those of :mod:`multimodal_vae.cli`, which registers them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from multimodal_vae.options import Refine, RunFolder, Sampler, Seed, example, say

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Ask readers about samples; score the answers.",
    no_args_is_help=True,
)


@app.command(epilog=example("mmvae study make runs/otitis --kind diagnosis --count 60 --out study"))
def make(
    run: RunFolder,
    kind: Annotated[
        Any,
        typer.Option(parser=str, metavar="turing|diagnosis", help="Question: real or synthetic, or which class."),
    ],
    out: Annotated[Path, typer.Option(help="Output folder; new or empty.")],
    count: Annotated[int, typer.Option(help="Number of items, equally many of each class.")] = 60,
    with_real: Annotated[
        bool, typer.Option("--with-real", help="Half of the items are patients' samples; the page then holds them.")
    ] = False,
    teach: Annotated[
        bool, typer.Option("--teach", help="Tell the truth after each answer; the page then holds it.")
    ] = False,
    split: Annotated[str, typer.Option(help="Real samples to show: test or validation.")] = "test",
    seed: Seed = 0,
    sampler: Sampler = None,
    refine: Refine = True,
) -> None:
    """Write a page that asks readers about samples.

    study.html is one file that works offline; it asks about each item and saves the answers as a file. key.csv has the
    truth: keep it from the readers.
    """
    from multimodal_vae.progress import shown
    from multimodal_vae.run import open_run
    from multimodal_vae.study.key import KEY, PAGE
    from multimodal_vae.study.making import make_study

    with shown():
        study = make_study(open_run(run), out, kind, count, with_real, teach, split, seed, sampler, refine)
    held = "; it holds patients' samples" if with_real else ""
    say(f"study {study.record['study']}: {len(study.truth)} items", f"give to readers: {out / PAGE}{held}")
    say(f"keep from them: {out / KEY}")


@app.command(epilog=example("mmvae study score study answers-*.csv"))
def score(
    folder: Annotated[Path, typer.Argument(help="Folder that mmvae study make wrote.")],
    answers: Annotated[list[Path], typer.Argument(help="Files that readers saved, one per reader (CSV).")],
    seed: Seed = 0,
) -> None:
    """Score the answers of readers.

    Accuracy, area under the curve and agreement, with 95 % intervals over readers and items. Writes results.json,
    results.csv and readers.png into the folder.
    """
    from multimodal_vae.study.scoring import PICTURE, RESULTS, TABLE, score_study, words

    scores, limitations = score_study(folder, answers, seed)
    for sentence in limitations:
        say(f"mmvae: note: {sentence}", err=True)
    say(*words(scores))
    say(f"written: {', '.join(str(folder / name) for name in (RESULTS, TABLE, PICTURE))}")
