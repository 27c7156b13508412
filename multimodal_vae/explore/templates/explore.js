"use strict";
(() => {
  const session = JSON.parse(document.getElementById("session").textContent);
  const token = new URLSearchParams(location.search).get("token");
  const at = (id) => document.getElementById(id);
  const all = (selector) => [...document.querySelectorAll(selector)];

  const state = { label: session.classes[0], position: [], seed: 0, temperature: 1, hidden: null };

  const request = async (path, view) => {
    let answer;
    try {
      answer = await fetch(`${path}?view=${encodeURIComponent(JSON.stringify(view))}`, { headers: { Authorization: `Bearer ${token}` } });
    } catch {
      throw new Error("The command has ended. Run it again, and open the new address.");
    }
    if (!answer.ok) throw new Error((await answer.json()).error);
    return answer;
  };
  const ask = async (path, view) => (await request(path, view)).json();
  const busy = (what, is) => { at(what).ariaBusy = String(is); };
  const attempt = async (work) => {
    try {
      await work();
      at("fault").hidden = true;
    } catch (error) {
      at("fault").textContent = error.message;
      at("fault").hidden = false;
      latest = ""; // the same view may be asked for again
      ["pictures", "neighbors"].forEach((what) => busy(what, false));
    }
  };

  // What is shown

  const set = (figure, source, words, caption) => {
    const [picture, text] = figure.children;
    picture.src = source;
    picture.alt = words;
    text.textContent = caption;
  };
  const small = (source, words) => {
    const picture = document.createElement("img");
    picture.src = source;
    picture.alt = words;
    return picture;
  };
  const named = (number) => `${number > 0 ? "+" : number < 0 ? "\u2212" : ""}${Math.abs(number).toFixed(1)} SD`;
  const atMean = () => state.seed === null && state.position.every((each) => each === 0);

  const label = () => {
    all("#sliders input").forEach((slider, index) => {
      const value = state.position[index];
      slider.value = value;
      slider.setAttribute("aria-valuetext", `${value.toFixed(1)} standard deviations from the class mean`);
      at(`direction-${index}-value`).textContent = named(Math.round(value * 10) / 10 || 0);
    });
    at("temperature").value = state.temperature;
    at("temperature").disabled = atMean();
    at("temperature-value").textContent = state.temperature.toFixed(2);
  };
  const show = (view, { pictures, inferred, covariates }) => {
    const what = view.seed === null ? "class mean" : `sample ${view.seed + 1}`;
    const moved = view.seed === null && view.position.some((each) => each !== 0) ? ", moved" : "";
    at("state").textContent = `${view.label}, ${what}${moved}${covariates ? `; ${covariates}` : ""}`;
    all("#pictures figure").forEach((figure, index) => {
      const name = session.modalities[index];
      set(figure, pictures[name], `${name}, generated, class ${view.label}`, name);
    });
    const [name] = Object.keys(inferred);
    if (at("comparison")) at("comparison").hidden = !name;
    if (!name) return;
    const [original, guess] = at("comparison").children;
    const others = session.modalities.filter((each) => each !== name).join(", ");
    set(original, pictures[name], `${name}, as generated`, `${name}, as generated`);
    set(guess, inferred[name], `${name}, inferred from ${others}`, `${name}, inferred from ${others}`);
  };

  // Moves: one at a time, and always the latest. While a slider moves, nothing is refined.

  let wanted = null, latest = "", moving = false;
  const move = (rest) => {
    label();
    const view = { ...state, position: [...state.position], refine: rest && session.refined };
    if (JSON.stringify(view) !== latest) {
      wanted = view;
      latest = JSON.stringify(view);
      if (!moving) follow();
    } else if (!moving) {
      busy("pictures", false);
    }
    if (rest) lookAround();
  };
  const follow = async () => {
    moving = true;
    busy("pictures", true);
    while (wanted) {
      const view = wanted, start = performance.now();
      wanted = null;
      await attempt(async () => {
        show(view, await ask("pictures", view));
        at("time").textContent = `Last picture: ${Math.round(performance.now() - start)} ms.`;
        document.body.dataset.milliseconds = performance.now() - start;
      });
    }
    moving = false;
    busy("pictures", false);
  };
  let timer = 0;
  const lookAround = () => {
    busy("neighbors", true);
    clearTimeout(timer);
    const own = timer = setTimeout(() => attempt(async () => {
      const found = await ask("neighbors", { ...state });
      if (timer !== own) return; // the sample has moved since
      busy("neighbors", false);
      at("neighbors").replaceChildren(...found.map(({ label: name, real, distance, pictures }) => {
        const [figure, row, caption] = ["figure", "div", "figcaption"].map((tag) => document.createElement(tag));
        const kind = real ? "real" : "synthetic";
        figure.className = kind;
        row.append(...Object.entries(pictures).map(([part, source]) => small(source, `${part}, ${kind}, class ${name || "unknown"}`)));
        caption.textContent = `${name || "no class"}, ${kind}, distance ${distance.toFixed(2)}`;
        figure.append(row, caption);
        return figure;
      }));
    }), 200);
  };

  // Controls

  const reset = (count) => { state.position = Array(count).fill(0); };
  const place = async () => {
    busy("pictures", true);
    if (state.seed !== null) state.position = await ask("sample", { label: state.label, seed: state.seed });
    else reset(all("#sliders input").length);
    move(true);
  };
  const choose = (name) => attempt(async () => {
    state.label = name;
    busy("pictures", true);
    const directions = await ask("directions", { label: name });
    if (state.label !== name) return; // another class was chosen since
    reset(directions.length);
    at("sliders").replaceChildren(...directions.map(({ share, low, high }, index) => {
      const whole = at("slider").content.cloneNode(true).firstElementChild;
      const [text, value, slider] = whole.children;
      slider.id = text.htmlFor = `direction-${index}`;
      value.id = `direction-${index}-value`;
      value.htmlFor = slider.id;
      text.textContent = `Direction ${index + 1}, ${Math.round(share * 100)} % of the variance`;
      const [before, after] = [low, high].map((pictures) => {
        const end = document.createElement("span");
        end.className = "end";
        end.append(...pictures.map((source) => small(source, "")));
        return end;
      });
      slider.before(before);
      slider.after(after);
      slider.addEventListener("input", () => {
        state.position[index] = Number(slider.value);
        move(false);
      });
      slider.addEventListener("change", () => move(true));
      return whole;
    }));
    await place();
  });

  all("input[name=label]").forEach((each) => each.addEventListener("change", () => choose(session.classes[each.value])));
  all("input[name=hidden]").forEach((each) => each.addEventListener("change", () => {
    state.hidden = each.value || null;
    move(true);
  }));
  at("temperature").addEventListener("input", () => {
    state.temperature = Number(at("temperature").value);
    move(false);
  });
  at("temperature").addEventListener("change", () => move(true));
  let last = 0;
  at("new").addEventListener("click", () => attempt(async () => {
    last += state.seed === null ? 0 : 1;
    state.seed = last;
    state.temperature = 1;
    await place();
  }));
  at("mean").addEventListener("click", () => attempt(async () => {
    state.seed = null;
    await place();
  }));
  at("save").addEventListener("click", () => attempt(async () => {
    const content = await (await request("figure", { ...state })).blob();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(content);
    link.download = `${state.label.replace(/[^\p{L}\p{N}_-]+/gu, "-")}-synthetic.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }));

  all("input[name=label]")[0].checked = true;
  all("input[name=hidden]").slice(0, 1).forEach((each) => { each.checked = true; });
  choose(session.classes[0]);
})();
