"""Explore a run in a browser: pictures follow sliders, nothing comes from elsewhere, and other origins are refused.

Not part of the plain suite, since it wants playwright, Chromium and axe-core: make test-explore.
"""

from __future__ import annotations

import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent / "tools"))
from PIL import Image as Pillow

from browser import VIEWS, check, faults_of_view, listen
from multimodal_vae.synthesis.marks import NOTICE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MOVES = 20


@contextmanager
def exploring(run: Path, faults: list[str], *options: str) -> Iterator[str]:
    """Run the command in a block, and yield the address of its page; it must end well by Ctrl-C."""
    command = [sys.executable, "-m", "multimodal_vae", "explore", str(run), "--no-open", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().removeprefix("explore: ").strip()
        finally:
            process.send_signal(signal.SIGINT)
        if process.wait() != 0 or "ended" not in process.stdout.read():
            faults.append(f"Ctrl-C does not end the command well: exit code {process.returncode}")


def rest(page: Page) -> None:
    """Wait until the pictures and the neighbors have followed."""
    for what in ("pictures", "neighbors"):
        page.locator(f"#{what}[aria-busy=false]").wait_for(timeout=60_000)


def open_page(page: Page, address: str) -> None:
    """Open the page and wait for its first pictures."""
    page.goto(address)
    rest(page)


def sources(page: Page, selector: str = "#pictures img") -> list[str]:
    """Return what the pictures show."""
    return page.locator(selector).evaluate_all("pictures => pictures.map(picture => picture.src)")


def look_at(page: Page, address: str, axe: str, out: Path, view: str) -> list[str]:
    """Return the faults of the page in one view; leave screenshots."""
    faults: list[str] = []
    listen(page, faults, address.partition("?")[0])
    open_page(page, address)
    faults += faults_of_view(page, axe)
    page.screenshot(path=out / f"{view}.png", full_page=True)
    page.screenshot(path=out / f"{view}-top.png")
    hide = page.locator("input[name=hidden]")
    if hide.count():
        hide.last.check()
        rest(page)
        faults += [f"hidden: {each}" for each in faults_of_view(page, axe)]
        page.screenshot(path=out / f"{view}-hidden.png", full_page=True)
    return faults


def try_controls(page: Page, address: str, out: Path) -> list[str]:
    """Return the faults of the controls, used by keyboard."""
    faults: list[str] = []
    listen(page, faults, address.partition("?")[0])
    open_page(page, address)
    before = sources(page)

    def changed(what: str) -> None:
        nonlocal before
        rest(page)
        after = sources(page)
        same = [index for index, (one, other) in enumerate(zip(before, after, strict=True)) if one == other]
        if same:
            faults.append(f"{what} leaves {len(same)} of {len(after)} pictures as they are")
        before = after

    times = []
    page.locator("#direction-0").focus()
    for _ in range(MOVES):
        page.keyboard.press("ArrowRight" if float(page.locator("#direction-0").input_value()) < 0 else "ArrowLeft")
        rest(page)
        times.append(float(page.evaluate("document.body.dataset.milliseconds")))
    print(f"a move takes {statistics.median(times):.0f} ms (median of {MOVES}; slowest {max(times):.0f} ms)")
    page.keyboard.press("End")
    changed("a slider at its end")
    if page.locator("#direction-0-value").inner_text() != "+3.0 SD":
        faults.append(f"the slider's end is called {page.locator('#direction-0-value').inner_text()!r}")
    page.locator("#temperature").focus()
    page.keyboard.press("Home")
    changed("temperature 0")
    cold = before
    page.locator("#mean").focus()
    page.keyboard.press("Enter")
    rest(page)
    if sources(page) != cold:
        faults.append("the class mean is not the sample of temperature 0")
    if not page.locator("#temperature").is_disabled():
        faults.append("the temperature of the class mean can be changed")
    page.locator("#new").focus()
    page.keyboard.press("Enter")
    changed("a new sample")
    page.locator("input[name=label]").first.focus()
    page.keyboard.press("ArrowRight")
    changed("another class")
    faults += try_hiding(page) + try_saving(page, out)
    return faults


def try_hiding(page: Page) -> list[str]:
    """Return the faults of hiding each modality."""
    faults = []
    choices = page.locator("input[name=hidden]")
    for number in range(1, choices.count()):
        choices.nth(number).check()
        rest(page)
        original, inferred = sources(page, "#comparison img")
        if original not in sources(page) or inferred == original:
            faults.append(f"hiding modality {number} shows no other picture beside it")
    if choices.count():
        choices.first.check()
        rest(page)
        if page.locator("#comparison").is_visible():
            faults.append("what was hidden is still compared")
    return faults


def try_saving(page: Page, out: Path) -> list[str]:
    """Return the faults of a saved picture."""
    with page.expect_download() as saving:
        page.locator("#save").click()
    path = out / saving.value.suggested_filename
    saving.value.save_as(path)
    with Pillow.open(path) as picture:
        said = getattr(picture, "text", {}).get("Warning")
    return [] if said == NOTICE and path.suffix == ".png" else [f"{path} does not say that it is synthetic: {said!r}"]


def try_strangers(browser: Browser, address: str) -> list[str]:
    """Return the faults of requests without the token, and of pages of other origins that know the address."""
    faults = []
    context = browser.new_context()
    page = context.new_page()
    answer = page.goto(address.partition("?")[0])
    if answer is None or answer.status != 403:
        faults.append("the page is served without the token")
    for own in ("data:text/html,<p>another origin", address.partition("/?")[0].replace("127.0.0.1", "localhost")):
        page.goto(own)
        seen: list[int] = []
        page.on("response", lambda answer, seen=seen: seen.append(answer.status))
        read = page.evaluate("address => fetch(address).then(() => 'read', () => 'refused')", address)
        page.evaluate("address => fetch(address, { mode: 'no-cors' }).catch(() => null)", address)
        page.wait_for_timeout(200)
        if read != "refused" or not {*seen} <= {403}:
            faults.append(f"{own} could ask for {address}: {read}, {seen}")
    context.close()
    return faults


def look(browser: Browser, run: Path, axe: str, out: Path) -> list[str]:
    """Return the faults of the page in every view, of its controls, and of what it refuses."""
    faults: list[str] = []
    with exploring(run, faults) as address:
        for name, view in VIEWS.items():
            context = browser.new_context(**view)
            faults += [f"{name}: {each}" for each in look_at(context.new_page(), address, axe, out, name)]
            context.close()
        context = browser.new_context(accept_downloads=True)
        faults += [f"controls: {each}" for each in try_controls(context.new_page(), address, out)]
        context.close()
        faults += [f"strangers: {each}" for each in try_strangers(browser, address)]
    return faults


if __name__ == "__main__":
    sys.exit(check(__doc__ or "", "run whose latent is explored", look))
