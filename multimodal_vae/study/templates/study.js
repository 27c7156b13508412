"use strict";
(() => {
  const study = JSON.parse(document.getElementById("study").textContent);
  const { items, modalities, answers, lesson } = study;
  const place = `multimodal_vae study ${study.study}`;
  const at = (id) => document.getElementById(id);
  const form = at("question");

  // Answers stay in the browser. Each reader has an order of their own.
  const fresh = () => {
    const order = items.map((_, index) => index);
    for (let last = order.length - 1; last > 0; last--) {
      const other = Math.floor(Math.random() * (last + 1));
      [order[last], order[other]] = [order[other], order[last]];
    }
    return { reader: "", order, step: -1, given: {} };
  };
  const read = () => {
    try {
      return JSON.parse(localStorage.getItem(place));
    } catch {
      return null;
    }
  };
  const keep = () => {
    try {
      localStorage.setItem(place, JSON.stringify(state));
    } catch {
      at("forgetful").hidden = false;
    }
  };
  let state = read() ?? fresh();

  // Seconds that the item has been visible.
  let spent = 0, since = null;
  const now = () => performance.now() / 1000;
  const watch = (on) => {
    if (since !== null) spent += now() - since;
    since = on ? now() : null;
  };
  document.addEventListener("visibilitychange", () => watch(!document.hidden && !form.hidden));

  const figures = (pictures, words) => pictures.map((source, index) => {
    const [figure, picture, caption] = ["figure", "img", "figcaption"].map((name) => document.createElement(name));
    picture.src = source;
    picture.alt = `${modalities[index]}, ${words}`;
    caption.textContent = modalities[index];
    figure.append(picture, caption);
    return figure;
  });
  const group = (title, pictures) => {
    const [whole, name, row] = ["div", "h4", "div"].map((tag) => document.createElement(tag));
    name.textContent = title;
    row.className = "pictures";
    row.append(...figures(pictures, title));
    whole.append(name, row);
    return whole;
  };

  const teach = (item, answer) => {
    const truth = lesson.truth[item], label = lesson.labels[item];
    const told = answers[truth].text === lesson.classes[label] ? "" : `; class ${lesson.classes[label]}`;
    at("verdict").textContent = `${answer === truth ? "Right" : "Not right"}: ${answers[truth].text}${told}.`;
    const guessed = lesson.classes.indexOf(answers[answer].text);
    const other = guessed < 0 || guessed === label ? lesson.like[label] : guessed;
    at("signs").replaceChildren(...[...new Set([label, other])].map((each) => group(`class ${lesson.classes[each]}`, lesson.signs[each])));
    at("similar").replaceChildren(...lesson.similar[item].map((each) => (
      group(`class ${lesson.classes[lesson.pool[each].class]}`, lesson.pool[each].pictures)
    )));
  };

  const show = () => {
    const { step, order, given } = state, item = order[step], done = step >= items.length;
    at("start").hidden = step >= 0;
    form.hidden = step < 0 || done;
    at("end").hidden = !done;
    spent = 0;
    since = null;
    if (step < 0) return;
    if (done) return at("h-end").focus();
    form.reset();
    at("h-question").textContent = `Sample ${step + 1} of ${items.length}`;
    at("progress").value = Object.keys(given).length;
    at("pictures").replaceChildren(...figures(items[item], `sample ${step + 1}`));
    form.dataset.item = item + 1;
    const before = given[item], told = Boolean(lesson && before);
    if (before) {
      form.elements.answer[before.answer].checked = true;
      form.elements.confidence[before.confidence - 1].checked = true;
      spent = before.seconds;
    }
    if (lesson) {
      at("lesson").hidden = !told;
      for (const name of ["ask-answer", "ask-confidence"]) at(name).disabled = told;
      if (told) teach(item, before.answer);
    }
    at("back").hidden = step === 0 || Boolean(lesson);
    at("next").textContent = lesson && !told ? "Check" : "Next";
    window.scrollTo(0, 0);
    at("h-question").focus({ preventScroll: true });
    watch(!document.hidden && !told);
  };
  const go = (step) => {
    state.step = step;
    keep();
    show();
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const item = state.order[state.step];
    if (lesson && state.given[item]) return go(state.step + 1);
    watch(false);
    state.given[item] = {
      answer: Number(form.elements.answer.value),
      confidence: Number(form.elements.confidence.value),
      seconds: Math.round(spent * 10) / 10,
      time: new Date().toISOString(),
    };
    go(lesson ? state.step : state.step + 1);
    if (!lesson) return;
    at("next").focus({ preventScroll: true });
    at("verdict").scrollIntoView({ block: "center" });
  });

  const save = () => {
    const cell = (value) => `"${String(value).replaceAll('"', '""')}"`;
    const rows = state.order.filter((item) => state.given[item]).map((item) => {
      const { answer, confidence, seconds, time } = state.given[item];
      return [study.study, item + 1, cell(answers[answer].cell), confidence, seconds, time];
    });
    const text = [["study", "item", "answer", "confidence", "seconds", "time"], ...rows].map((row) => `${row.join(",")}\r\n`).join("");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    link.download = `answers-${state.reader}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    at("file").textContent = link.download;
    at("saved").hidden = false;
  };

  at("begin").addEventListener("click", () => {
    const code = at("reader").value.trim().replace(/[^\p{L}\p{N}_-]+/gu, "-");
    state.reader = code || `reader-${Math.random().toString(36).slice(2, 6)}`;
    go(0);
  });
  at("reader").addEventListener("keydown", (event) => event.key === "Enter" && at("begin").click());
  at("back").addEventListener("click", () => go(state.step - 1));
  at("review")?.addEventListener("click", () => go(state.step - 1));
  at("pause").addEventListener("click", save);
  at("save").addEventListener("click", save);
  at("clear").addEventListener("click", () => {
    if (!confirm("Delete the answers? They are lost unless you have saved them.")) return;
    state = fresh();
    at("saved").hidden = true;
    at("reader").value = "";
    keep();
    show();
  });

  document.addEventListener("keydown", (event) => {
    if (form.hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    const letter = /^[a-z]$/i.test(event.key) ? event.key.toLowerCase().charCodeAt(0) - 97 : -1;
    const chosen = letter >= 0 ? form.elements.answer[letter] : /^[1-5]$/.test(event.key) ? form.elements.confidence[event.key - 1] : null;
    if (chosen && !chosen.matches(":disabled")) chosen.checked = true;
    if (event.key === "Enter" && !event.target.closest("button, input")) form.requestSubmit();
  });

  keep();
  show();
})();
