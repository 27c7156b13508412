/* What is wider than the page and scrolls by itself can be scrolled by keyboard, too. */
document$.subscribe(() => {
  for (const region of document.querySelectorAll(".md-typeset__scrollwrap, math[display=block]")) {
    if (region.scrollWidth > region.clientWidth) {
      region.tabIndex = 0;
    }
  }
});
