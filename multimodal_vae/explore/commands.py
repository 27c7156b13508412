"""The command of the package; thin, as those of :mod:`multimodal_vae.cli`, which registers it."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from multimodal_vae.options import Covariates, Refine, RunFolder, Sampler, example, say


def explore(
    run: RunFolder,
    with_real: Annotated[
        bool, typer.Option("--with-real", help="Show patients' samples among the neighbors; the page then holds them.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port of the page. Default: a free one.", min=0, max=65535)] = 0,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    sampler: Sampler = None,
    refine: Refine = True,
    covariates: Covariates = None,
) -> None:
    """Explore the latent of a run in the browser.

    Sliders move a sample along the main directions of its class, and all modalities follow. The page is for this
    machine only: use the printed address. Ctrl-C ends it.
    """
    import webbrowser

    from multimodal_vae.data.covariates import read_settings
    from multimodal_vae.explore.page import explore_page
    from multimodal_vae.explore.server import Server
    from multimodal_vae.explore.session import Session
    from multimodal_vae.progress import shown
    from multimodal_vae.run import open_run

    given, opened = read_settings(covariates or []), open_run(run)
    with shown():
        synthesizer = opened.synthesizer(sampler, refine=refine)
        real = opened.splits[opened.configuration.density.fit_on] if with_real else None
        session = Session(synthesizer, real, given)
    with Server(session, explore_page(run.resolve().name, session, with_real), port) as server:
        say(f"explore: {server.address}", "Ctrl-C ends it.")
        if open_page:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("ended")


COMMANDS: dict[Callable[..., Any], str] = {explore: example("mmvae explore runs/otitis")}
"""Commands with their epilogs."""
