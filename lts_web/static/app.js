/* What pages do beyond HTML: the theme before the first paint, ages that tick, the one live poll,
   and the drawing of curves. Everything works without it. */
"use strict";

(() => {
  const root = document.documentElement;
  const SILENT_AFTER_SECONDS = 30;

  /* Theme: "auto" follows the system. Runs before the body exists, so nothing flashes. */
  const systemIsDark = window.matchMedia("(prefers-color-scheme: dark)");
  const NEXT_THEME = { auto: "dark", dark: "light", light: "auto" };
  const THEME_ICON = { auto: "circle-half", dark: "moon-stars", light: "sun" };

  function applyTheme() {
    const choice = root.dataset.themeChoice;
    const dark = choice === "dark" || (choice === "auto" && systemIsDark.matches);
    root.dataset.bsTheme = dark ? "dark" : "light";
    document.dispatchEvent(new Event("lts:theme"));
  }

  function chooseTheme(event) {
    event.preventDefault();
    const choice = NEXT_THEME[root.dataset.themeChoice];
    root.dataset.themeChoice = choice;
    document.cookie = `theme=${choice}; path=/; max-age=31536000; samesite=lax`;
    const button = event.currentTarget.querySelector("button");
    button.value = NEXT_THEME[choice];
    button.title = `Theme: ${choice}`;
    button.setAttribute("aria-label", `Theme: ${choice}; switch to ${NEXT_THEME[choice]}`);
    button.firstElementChild.className = `bi bi-${THEME_ICON[choice]}`;
    applyTheme();
  }

  applyTheme();
  systemIsDark.addEventListener("change", applyTheme);

  /* Ages: counted from the server's clock, since the browser's may be wrong. */
  let clockOffset = 0;

  function span(seconds) {
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
    return `${Math.floor(seconds / 86400)} d`;
  }

  function relative(milliseconds) {
    const seconds = Math.round(milliseconds / 1000);
    if (seconds === 0) return "now";
    return seconds > 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`;
  }

  function tick() {
    if (document.hidden) return;
    const now = Date.now() + clockOffset;
    for (const time of document.querySelectorAll("time.lts-age")) {
      const text = relative(now - Date.parse(time.dateTime));
      if (time.textContent !== text) time.textContent = text;
    }
  }

  /* The worker's sign of life: what the page says, and grey figures when there is none. */
  function setBanner(text, node) {
    const banner = document.getElementById("worker-banner");
    const words = document.getElementById("worker-banner-text");
    document.body.classList.toggle("lts-stale", text !== null);
    banner.hidden = text === null;
    if (text !== null && words.dataset.text !== text) {
      words.dataset.text = text;
      words.replaceChildren(text, ...(node ? [node, "."] : []));
    }
  }

  function setPulse(state, text, node) {
    const pulse = document.getElementById("worker-pulse");
    pulse.dataset.state = state;
    pulse.querySelector(".lts-pulse-text").replaceChildren(text, ...(node ? [node] : []));
  }

  function ageNode(instant) {
    const time = document.createElement("time");
    time.className = "lts-age";
    time.dateTime = new Date(instant).toISOString();
    time.textContent = relative(Date.now() + clockOffset - instant);
    return time;
  }

  function showWorker(age) {
    if (age === "never") {
      setPulse("silent", "No worker yet");
      setBanner("No worker was ever seen, so nothing trades. Start it with “lts run”.");
    } else if (age === "stopped") {
      setPulse("silent", "Worker stopped");
      setBanner("The worker is stopped. The figures are from before.");
    } else {
      const seen = Date.now() + clockOffset - Number(age) * 1000;
      const silent = Number(age) > SILENT_AFTER_SECONDS;
      setPulse(silent ? "silent" : "alive", "Worker ", ageNode(seen));
      if (silent) setBanner("No cycle runs and the figures are old: the worker was last seen ", ageNode(seen));
      else setBanner(null);
    }
  }

  /* The poll: one request for the whole page; htmx fires the events that the answer names, on
     which the parts fetch themselves. */
  let sequence = 0;
  let lastAnswer = Date.now();
  let timer = 0;

  function startPolling(live) {
    const pause = Number(live.dataset.pollSeconds) * 1000;
    sequence = Number(live.dataset.sequence);

    const again = () => {
      clearTimeout(timer);
      timer = setTimeout(() => { if (!document.hidden) htmx.trigger(live, "lts:poll"); }, pause);
    };

    live.addEventListener("htmx:config:request", (event) => {
      event.detail.ctx.request.body.set("v", String(sequence));
    });
    live.addEventListener("htmx:after:request", (event) => {
      const { status, headers } = event.detail.ctx.response;
      if (status !== 204) return;
      lastAnswer = Date.now();
      sequence = Number(headers.get("LTS-Sequence"));
      showWorker(headers.get("LTS-Worker-Age"));
    });
    live.addEventListener("htmx:finally:request", () => {
      if (Date.now() - lastAnswer > 5 * pause) {
        setPulse("silent", "No connection");
        setBanner("The connection to LTS is lost; the figures are old. Last answer ", ageNode(lastAnswer + clockOffset));
      }
      again();
    });
    /* A part that could not be fetched has missed news: ask for all of it again. */
    const missed = (event) => { if (event.target !== live) sequence = 0; };
    document.body.addEventListener("htmx:error", missed);
    document.body.addEventListener("htmx:response:error", missed);
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      tick();
      htmx.trigger(live, "lts:poll");
    });
    again();
  }

  /* Curves: the server's drawing is replaced by one that can be read point by point. */
  function startChart(place) {
    let plot = null;
    let data = null;
    const color = (name) => getComputedStyle(root).getPropertyValue(name).trim();

    function options() {
      const text = color("--bs-secondary-color");
      const grid = { stroke: color("--bs-border-color-translucent"), width: 1 };
      const font = "12px system-ui, sans-serif";
      const axis = { stroke: text, grid, ticks: { show: false }, font };
      return {
        width: place.clientWidth,
        height: place.clientHeight,
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
        legend: { show: false },
        cursor: { y: false },
        axes: [axis, { ...axis, size: 72 }],
        series: [{}, { stroke: color("--lts-accent"), fill: color("--lts-accent-soft"), width: 2, points: { show: false } }],
        hooks: { setCursor: [readout] },
      };
    }

    const label = document.createElement("p");
    label.className = "lts-chart-readout";

    function readout(chart) {
      const index = chart.cursor.idx;
      if (index === null || index === undefined || !data) { label.textContent = ""; return; }
      const time = new Date(data.times[index] * 1000).toISOString().replace("T", " ").slice(0, 16);
      const amount = data.equity[index].toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
      label.textContent = `${time} UTC · ${amount} ${data.currency}`;
    }

    function draw() {
      if (!data || data.times.length < 2) return;
      if (plot) plot.destroy();
      place.replaceChildren(label);
      plot = new uPlot(options(), [data.times, data.equity], place);
    }

    async function load() {
      if (document.hidden) return;
      const answer = await fetch(place.dataset.source, { headers: { "HX-Request": "true" } });
      if (!answer.ok) return;
      data = await answer.json();
      if (plot) plot.setData([data.times, data.equity]);
      else draw();
    }

    const quietly = () => { load().catch(() => { sequence = 0; }); };
    document.body.addEventListener(place.dataset.event, quietly);
    document.addEventListener("lts:theme", draw);
    new ResizeObserver(() => {
      if (plot && place.clientWidth) plot.setSize({ width: place.clientWidth, height: place.clientHeight });
    }).observe(place);
    quietly();
  }

  document.addEventListener("DOMContentLoaded", () => {
    const body = document.body;
    if (body.dataset.now) clockOffset = Date.parse(body.dataset.now) - Date.now();
    for (const form of document.querySelectorAll("form.lts-theme")) form.addEventListener("submit", chooseTheme);
    for (const link of document.querySelectorAll("[data-sidebar]")) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        body.classList.toggle("sidebar-open", link.dataset.sidebar === "toggle" ? undefined : false);
      });
    }
    for (const select of document.querySelectorAll(".lts-filter select")) {
      select.addEventListener("change", () => select.form.requestSubmit());
    }
    setInterval(tick, 1000);
    const live = document.getElementById("live-poll");
    if (live && window.htmx) startPolling(live);
    const chart = document.getElementById("equity-chart");
    if (chart && window.uPlot) startChart(chart);
  });
})();
