"use strict";
(() => {
  const { points, tile, columns } = JSON.parse(document.getElementById("points").textContent);
  const marks = [...document.querySelectorAll("#map [role=option]")];
  const places = marks.map((mark) => mark.transform.baseVal[0].matrix).map(({ e, f }) => [e, f]);
  const tiles = [...document.querySelectorAll("#decoded .tile")];
  const facts = document.getElementById("facts");
  let chosen = 0;

  const show = (index) => {
    marks[chosen].setAttribute("aria-selected", "false");
    marks[chosen].setAttribute("tabindex", "-1");
    chosen = index;
    marks[index].setAttribute("aria-selected", "true");
    marks[index].setAttribute("tabindex", "0");
    const x = -(index % columns) * tile, y = -Math.floor(index / columns) * tile;
    for (const each of tiles) {
      each.style.backgroundPosition = `${x}px ${y}px`;
      each.setAttribute("aria-label", `${each.dataset.modality}, decoded from the selected sample, class ${points[index].facts["class"]}`);
    }
    facts.replaceChildren(...Object.entries(points[index].facts).flatMap(([name, value]) => {
      const [term, text] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      text.textContent = value;
      return [term, text];
    }));
    document.getElementById("decoded").hidden = false;
    document.getElementById("hint").hidden = true;
  };

  // The nearest mark that way, sideways steps counting double; -1 where there is none.
  const nearest = (dx, dy) => {
    let best = -1, least = Infinity;
    places.forEach(([x, y], index) => {
      const along = (x - places[chosen][0]) * dx + (y - places[chosen][1]) * dy;
      const aside = Math.abs((x - places[chosen][0]) * dy) + Math.abs((y - places[chosen][1]) * dx);
      if (index !== chosen && along > 0 && along + 2 * aside < least) [best, least] = [index, along + 2 * aside];
    });
    return best;
  };

  const steps = {
    ArrowRight: () => nearest(1, 0), ArrowLeft: () => nearest(-1, 0), ArrowUp: () => nearest(0, -1), ArrowDown: () => nearest(0, 1),
    Home: () => 0, End: () => marks.length - 1,
  };
  marks.forEach((mark, index) => {
    for (const event of ["pointerenter", "focus", "click"]) mark.addEventListener(event, () => show(index));
    mark.addEventListener("keydown", (event) => {
      const next = steps[event.key]?.();
      if (next === undefined) return;
      event.preventDefault();
      if (next >= 0) marks[next].focus();
    });
  });
})();
