"use strict";
// Adds a filter, a search and copy buttons. Without this script the page still shows every finding.
(() => {
  const form = document.querySelector(".filter");
  const items = [...document.querySelectorAll(".item")];
  const nothing = document.querySelector(".nothing");
  const output = form.querySelector("output");
  const reset = form.querySelector("[type=reset]");
  const announcement = document.getElementById("announcement");
  const lists = ["verdict", "severity"];
  const single = ["host", "family"];
  const opened = new Set();

  const textOf = new Map();
  const text = (item) => {
    if (!textOf.has(item)) {
      const parts = item.matches(".row") ? [item] : item.querySelectorAll("h4, .permalink, .values");
      const title = item.closest(".group")?.querySelector("h3");
      textOf.set(item, [...parts, ...(title ? [title] : [])].map((part) => part.textContent).join(" ").toLowerCase());
    }
    return textOf.get(item);
  };

  const chosen = () => {
    const data = new FormData(form);
    const state = { q: data.get("q").trim() };
    for (const name of lists) state[name] = data.getAll(name);
    for (const name of single) state[name] = data.get(name);
    return state;
  };

  const choose = (state) => {
    form.elements.q.value = state.q ?? "";
    for (const name of lists) {
      for (const box of form.querySelectorAll(`[name=${name}]`)) box.checked = (state[name] ?? []).includes(box.value);
    }
    for (const name of single) {
      const select = form.elements[name];
      select.value = state[name] ?? "";
      if (select.selectedIndex < 0) select.value = "";
    }
  };

  const matches = (item, state, words) =>
    lists.every((name) => !state[name].length || state[name].includes(item.dataset[name])) &&
    single.every((name) => !state[name] || state[name] === item.dataset[name]) &&
    words.every((word) => text(item).includes(word));

  const apply = () => {
    const state = chosen();
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const active = words.length > 0 || lists.some((name) => state[name].length) || single.some((name) => state[name]);
    let shown = 0;
    for (const item of items) {
      const match = matches(item, state, words);
      item.hidden = !match;
      shown += match;
    }
    const has = (box) => box.querySelector(".item:not([hidden])") !== null;
    for (const box of document.querySelectorAll(".group, .fold")) box.hidden = active && !has(box);
    for (const box of document.querySelectorAll(".verdict")) box.hidden = active && !has(box);
    for (const line of document.querySelectorAll(".glance li")) {
      line.hidden = document.getElementById(line.querySelector("a").hash.slice(1)).hidden;
    }
    // A folded section opens while the filter selects it, and folds again afterwards.
    for (const fold of document.querySelectorAll(".fold")) {
      const wanted = active && !fold.hidden && (words.length > 0 || state.verdict.includes(fold.closest(".verdict").id));
      if (wanted && !fold.open) {
        fold.open = true;
        opened.add(fold);
      } else if (!wanted && opened.delete(fold)) fold.open = false;
    }
    output.value = active ? `${shown.toLocaleString("en")} of ${items.length.toLocaleString("en")} findings shown`
      : `${items.length.toLocaleString("en")} findings`;
    reset.hidden = !active;
    nothing.hidden = shown > 0 || !active;
    remember(state);
  };

  const remember = (state) => {
    const query = new URLSearchParams();
    for (const name of ["q", ...single]) if (state[name]) query.set(name, state[name]);
    for (const name of lists) if (state[name].length) query.set(name, state[name].join(","));
    const search = String(query) && `?${query}`;
    if (search === location.search) return;
    try {
      history.replaceState(null, "", location.pathname + search + location.hash);
    } catch {
      // A page without its own URL (a sandboxed frame) can't store the filter there.
    }
  };

  const recall = () => {
    const query = new URLSearchParams(location.search);
    const state = { q: query.get("q") ?? "" };
    for (const name of lists) state[name] = (query.get(name) ?? "").split(",");
    for (const name of single) state[name] = query.get(name) ?? "";
    choose(state);
  };

  const target = () => {
    const hash = location.hash.slice(1);
    if (!hash) return null;
    try {
      return document.getElementById(hash) ?? document.getElementById(decodeURIComponent(hash));
    } catch {
      return null;
    }
  };

  // A link also reaches a target that the filter hides or a folded section contains.
  const reveal = () => {
    const found = target();
    if (!found) return;
    if (found.closest("[hidden]") && form.contains(found) === false) {
      choose({});
      apply();
    }
    for (let box = found.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
    if (found.matches(".remedy")) found.querySelector(".scripts")?.setAttribute("open", "");
    found.scrollIntoView();
  };

  const copy = async (button, source) => {
    let done = true;
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      getSelection().selectAllChildren(source);
      done = document.execCommand("copy");
    }
    button.textContent = done ? "Copied" : "Selected";
    announcement.textContent = done ? `Copied: ${source.textContent}` : "Selected; copy with the keyboard";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  };

  for (const source of document.querySelectorAll(".paste")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy the command ${source.textContent}`);
    button.addEventListener("click", () => copy(button, source));
    source.after(button);
  }
  for (const link of document.querySelectorAll("[data-pick-host]")) {
    link.addEventListener("click", () => {
      const { pickHost, pickVerdict, pickSeverity } = link.dataset;
      choose({ host: pickHost, verdict: [pickVerdict], severity: pickSeverity ? [pickSeverity] : [] });
      apply();
    });
  }
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    choose({});
    apply();
    form.elements.q.focus();
  });
  nothing.querySelector("button").addEventListener("click", () => form.reset());
  window.addEventListener("hashchange", reveal);
  window.addEventListener("popstate", () => { recall(); apply(); });
  // A second click on the same permalink does not change the fragment, so the browser fires no hashchange event.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (link && link.hash === location.hash) reveal();
  });

  form.hidden = false;
  document.documentElement.classList.add("filterable");
  recall();
  apply();
  reveal();
})();
