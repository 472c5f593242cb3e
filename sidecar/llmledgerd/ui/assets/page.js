// What the page does in the browser itself: formats of charts, light and dark, keys, timelines, and looking away.
"use strict";

(() => {
  const SCALES = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]];

  function short(value) {
    const [scale, name] = SCALES.find(([scale]) => Math.abs(value) >= scale) ?? [1, ""];
    const number = value / scale;
    return `${Number(number.toFixed(number < 10 ? 2 : 1)).toLocaleString("en-US")}${name && ` ${name}`}`;
  }

  function known(format) {
    return (value) => (value === null || value === undefined || Number.isNaN(value) ? "-" : format(value));
  }

  window.llmledger = {
    count: known(short),
    usd: known((value) => (Math.abs(value) >= 1000 ? `$${short(value)}` : `$${Number(value.toPrecision(3))}`)),
    ms: known((value) => (value < 1000 ? `${Math.round(value)} ms` : `${Number((value / 1000).toPrecision(3))} s`)),
    percent: known((value) => `${Number(value.toFixed(1))} %`),
    // A day is named where it begins; the hours after it are hours.
    step: (text) => (text.endsWith(" 00:00") ? text.slice(0, -6) : text.replace(/^.* (?=\d\d:\d\d$)/, "")),
    isMidnight: (_, text) => text.endsWith(" 00:00"),
  };

  const THEMES = ["", "light", "dark"];

  function wear(theme) {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
  }
  wear(localStorage.getItem("llmledger-theme"));

  function nextTheme() {
    const now = localStorage.getItem("llmledger-theme") ?? "";
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    // From "as the system" the first press is the one that can be seen.
    const order = dark ? ["", "light", "dark"] : ["", "dark", "light"];
    const next = order[(order.indexOf(now) + 1) % THEMES.length];
    localStorage.setItem("llmledger-theme", next);
    wear(next);
  }

  let paused = false;
  const look = () => {
    // emitEvent is there before what it emits to, which is mounted just before it opens the socket:
    // a page that is left while it loads is hidden before there is anybody to tell.
    if (window.socket) emitEvent("live", !paused && !document.hidden);
  };
  document.addEventListener("visibilitychange", look);

  document.addEventListener("click", (event) => {
    if (event.target.closest("#theme")) nextTheme();
    const live = event.target.closest("#live");
    if (live) {
      paused = !paused;
      live.setAttribute("aria-pressed", String(!paused));
      live.lastElementChild.textContent = paused ? "Paused" : "Live";
      look();
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
    const target = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (!target) return;
    event.preventDefault();
    if (target.matches("a")) target.click();
    else target.focus();
  });

  // Fresh HTML replaces what had the focus; whoever goes by keyboard stays where they were.
  let last = null;
  document.addEventListener("focusin", (event) => {
    const link = event.target.closest("#main a[href]");
    last = link && { href: link.getAttribute("href"), link };
  });
  // A timeline has as much room as all steps of its run, and elements for those in sight. Their rows are asked
  // for in chunks; how many steps there are stands beside it ([data-count]), and changes while an agent runs.
  const CHUNK = 100;
  const BEYOND = 10;
  const AGAIN_MS = 3000;

  function element(kind, name, text) {
    const made = document.createElement(kind);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  class Timeline {
    constructor(frame) {
      this.frame = frame;
      this.steps = frame.querySelector(".steps");
      this.here = Number(frame.dataset.here) || 0;
      this.chunks = new Map();
      this.shown = new Map();
      this.count = 0;
      this.wall = 1;
      frame.addEventListener("scroll", () => this.draw(), { passive: true });
      new ResizeObserver(() => this.draw()).observe(frame);
      this.follow();
    }

    get height() {
      return parseFloat(getComputedStyle(this.frame).getPropertyValue("--step")) || 30;
    }

    // Takes over how many steps there are by now. A call that arrived late has moved those after it.
    follow() {
      const said = document.querySelector("#main [data-count]");
      if (!said || (Number(said.dataset.count) === this.count && Number(said.dataset.wall) === this.wall)) return;
      const isFirst = this.count === 0;
      const atEnd = this.frame.scrollTop + this.frame.clientHeight >= this.frame.scrollHeight - 2;
      this.count = Number(said.dataset.count);
      this.wall = Number(said.dataset.wall) || 1;
      this.frame.setAttribute("aria-rowcount", String(this.count + 1));
      this.chunks.clear();
      this.steps.style.height = `${this.count * this.height}px`;
      if (isFirst && this.here) this.frame.scrollTop = (this.here - 0.5) * this.height - this.frame.clientHeight / 2;
      else if (!isFirst && atEnd && this.frame.scrollTop > 0) this.frame.scrollTop = this.frame.scrollHeight;
      this.draw(true);
    }

    draw(isChanged = false) {
      const height = this.height;
      const top = Math.max(0, this.frame.scrollTop - this.steps.offsetTop);
      const first = Math.max(1, Math.floor(top / height) + 1 - BEYOND);
      const last = Math.min(this.count, Math.ceil((top + this.frame.clientHeight) / height) + BEYOND);
      for (const [number, row] of this.shown) {
        if (number < first || number > last) {
          row.remove();
          this.shown.delete(number);
        }
      }
      for (let number = first; number <= last; number++) {
        const chunk = Math.floor((number - 1) / CHUNK);
        const known = this.chunks.get(chunk);
        if (!known) this.ask(chunk);
        const step = known?.[number - 1 - chunk * CHUNK];
        const old = this.shown.get(number);
        if (old && !isChanged && (old.isKnown || !step)) continue;
        if (old && !step) continue;
        const row = step ? this.row(step) : element("div", "step waits");
        row.isKnown = Boolean(step);
        row.style.top = `${(number - 1) * height}px`;
        row.style.height = `${height}px`;
        if (old) old.replaceWith(row);
        else this.steps.append(row);
        this.shown.set(number, row);
      }
    }

    row(step) {
      const row = element("a", "step");
      row.href = step.address;
      row.setAttribute("role", "row");
      row.setAttribute("aria-rowindex", String(step.number + 1));
      row.dataset.step = String(step.number);
      if (step.number === this.here) {
        row.classList.add("here");
        row.setAttribute("aria-current", "step");
      }
      const cell = (name, text) => {
        const made = element("span", name, text);
        made.setAttribute("role", "cell");
        row.append(made);
        return made;
      };
      const number = cell("number", step.number.toLocaleString("en-US"));
      number.style.paddingLeft = `${step.level * 10}px`;
      if (step.note) {
        number.append(" ", element("small", "", step.note));
        number.title = step.note;
      }
      cell("after", step.after);
      const when = cell("when");
      const track = element("span", "track lane");
      const bar = element("span", step.is_error ? "bad" : "");
      const left = Math.min(99.5, (100 * step.after_ms) / this.wall);
      bar.style.marginLeft = `${left}%`;
      bar.style.width = `${Math.min(100 - left, Math.max(0.5, (100 * step.took_ms) / this.wall))}%`;
      track.append(bar);
      when.append(track);
      cell("model", step.model).title = [step.model, step.agent].filter(Boolean).join(", ");
      cell("new", step.new);
      cell("in", step.input);
      cell("cached", step.cached);
      cell("out", step.output);
      cell("cost", step.cost);
      cell("latency", step.latency);
      cell("outcome").append(element("span", `badge ${step.is_error ? "bad" : "good"}`, step.outcome));
      return row;
    }

    async ask(chunk) {
      this.chunks.set(chunk, []);
      const { run, organization, every, at } = this.frame.dataset;
      const given = new URLSearchParams({ id: run, first: String(chunk * CHUNK + 1), limit: String(CHUNK) });
      if (!every) given.set("organization", organization ?? "");
      if (at) given.set("at", at);
      const of = this.count;
      try {
        const answer = await fetch(`./run/steps?${given}`);
        if (!answer.ok) throw new Error(String(answer.status));
        const found = await answer.json();
        if (of !== this.count) return; // asked before the run grew; draw has asked again
        this.chunks.set(chunk, found.rows);
        this.draw(true);
      } catch {
        // The store or the daemon is away, which the page says above.
        setTimeout(() => {
          if (of === this.count) this.chunks.delete(chunk);
          if (this.frame.isConnected) this.draw();
        }, AGAIN_MS);
      }
    }
  }

  const timelines = new WeakMap();
  function follow() {
    for (const frame of document.querySelectorAll(".timeline")) {
      if (timelines.has(frame)) timelines.get(frame).follow();
      else timelines.set(frame, new Timeline(frame));
    }
  }

  new MutationObserver(() => {
    follow();
    if (!last || last.link.isConnected || document.activeElement !== document.body) return;
    const same = document.querySelector(`#main a[href="${CSS.escape(last.href)}"]`);
    if (same) same.focus({ preventScroll: true });
  }).observe(document, { childList: true, subtree: true });
})();
