// What the page does in the browser itself: formats of charts, light and dark, keys, and looking away.
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
  // The step that is looked at is in sight among the others of its run.
  const placed = new WeakSet();
  function place() {
    const here = document.querySelector(".tall .here");
    if (!here || placed.has(here)) return;
    placed.add(here);
    const frame = here.closest(".tall");
    const above = here.getBoundingClientRect().top - frame.getBoundingClientRect().top;
    frame.scrollTop += above - frame.clientHeight / 2;
  }

  new MutationObserver(() => {
    place();
    if (!last || last.link.isConnected || document.activeElement !== document.body) return;
    const same = document.querySelector(`#main a[href="${CSS.escape(last.href)}"]`);
    if (same) same.focus({ preventScroll: true });
  }).observe(document, { childList: true, subtree: true });
})();
