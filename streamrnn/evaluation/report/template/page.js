"use strict";
(() => {
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById("data").textContent);
  const charts = [...document.querySelectorAll(".chart")];
  const redraw = new Map(); // drawn charts, each with the function that draws it again
  const LAST = 200; // rows shown initially
  const HOLE = 10; // rows further apart than this many median steps are not connected
  const touch = matchMedia("(pointer: coarse)").matches; // dragging scrolls the page; only the buttons zoom

  const colour = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const faded = (name, alpha) => {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour(name).slice(at, at + 2), 16));
    return `rgba(${r},${g},${b},${alpha})`;
  };

  function unpack({ kind, data: text }) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    return kind === "f4" ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer);
  }

  function axis(more) {
    return { gridcolor: colour("grid"), linecolor: colour("line"), zeroline: false, automargin: true, tickcolor: colour("line"), fixedrange: true, ...more };
  }

  function layout(more) {
    return {
      autosize: true, margin: { l: 52, r: 12, t: 8, b: 40 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: root.classList.contains("printing") ? 10 : 12, color: colour("soft") },
      hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("ink") } },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { color: colour("ink") } }, dragmode: false, ...more,
    };
  }

  const show = (element, traces, more) =>
    Plotly.react(element, traces, layout(more), { displayModeBar: false, responsive: true, doubleClick: false, showTips: false });

  const line = (f, more) => ({ name: data.forecasters[f], mode: "lines", line: { color: colour("f" + f), width: f === 0 ? 2.5 : 1.6 }, ...more });
  const steps = (horizon) => `${horizon} step${horizon === 1 ? "" : "s"} ahead`;
  const marks = [["solid", "circle"], ["dash", "square"], ["dot", "diamond"]]; // by horizon, in the reliability diagram

  const together = {
    reliability(element) {
      const { levels, reliability } = data.together;
      const traces = reliability.map((shares, i) => ({
        x: levels, y: shares, name: steps(data.horizons[i]), mode: "lines+markers", line: { color: colour("f0"), width: 1.6, dash: marks[i][0] }, marker: { size: 7, symbol: marks[i][1] },
        hovertemplate: "quantile %{x}: %{y:.3f}<extra></extra>",
      }));
      traces.unshift({ x: [0, 1], y: [0, 1], mode: "lines", line: { color: colour("soft"), dash: "dot", width: 1 }, hoverinfo: "skip", showlegend: false });
      show(element, traces, {
        xaxis: axis({ range: [0, 1], title: { text: "nominal quantile" } }), yaxis: axis({ range: [0, 1], title: { text: "share of observed values below" } }),
      });
    },
    skill(element) {
      const { horizons, skill } = data.together;
      const traces = [0, 2, 3].map((f) => line(f, { x: horizons, y: skill[f], mode: "lines+markers", hovertemplate: "%{x} ahead: %{y:.3f}<extra></extra>" }));
      const known = skill.flat().filter((value) => value !== null);
      show(element, traces, {
        xaxis: axis({ title: { text: "steps ahead" }, rangemode: "tozero", ...(horizons.length <= 8 ? { tickvals: horizons } : {}) }),
        yaxis: axis({ title: { text: "skill" }, range: [Math.max(-1, Math.min(-0.05, ...known)) - 0.03, 1], zeroline: true, zerolinecolor: colour("f1"), zerolinewidth: 1.6 }),
      });
    },
    course(element) {
      const { parts, course, spread } = data.together;
      const edge = { x: parts, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false, connectgaps: true };
      const traces = [
        { ...edge, y: spread[0] }, { ...edge, y: spread[1], fill: "tonexty", fillcolor: faded("f0", 0.16) },
        ...[3, 0].map((f) => line(f, { x: parts, y: course[f], hovertemplate: "%{y:.3f}<extra></extra>" })),
      ];
      show(element, traces, {
        xaxis: axis({ title: { text: "position in the series" }, tickformat: ".0%", range: [0, 1] }),
        yaxis: axis({ title: { text: "error ÷ persistence" }, rangemode: "tozero" }),
        shapes: [{ type: "line", x0: 0, x1: 1, y0: 1, y1: 1, line: { color: colour("f1"), width: 1.2 } }],
      });
    },
    histogram(element) {
      const { edges, histogram } = data.together;
      const middles = edges.slice(1).map((edge, i) => (edge + edges[i]) / 2);
      const bars = (f, more) => ({ type: "bar", name: data.forecasters[f], x: middles, y: histogram[f], marker: { color: colour("f" + f) }, hovertemplate: "%{y} series<extra></extra>", ...more });
      show(element, [bars(0), bars(3, { opacity: 0.6 })], {
        barmode: "overlay", bargap: 0.1, xaxis: axis({ title: { text: "error ÷ persistence" }, range: [0, 1.5] }), yaxis: axis({ title: { text: "series" } }),
        shapes: [{ type: "line", x0: 1, x1: 1, yref: "paper", y0: 0, y1: 1, line: { color: colour("f1"), width: 1.2 } }],
      });
    },
  };

  // ---- charts of one series, and the range of rows in view

  function unpacked(number) {
    const packed = data.series[number];
    if (!packed.unpacked) {
      const times = unpack(packed.times);
      packed.unpacked = { times, values: unpack(packed.values), quantiles: packed.quantiles.map((levels) => levels.map(unpack)), runs: runs(times) };
    }
    return packed.unpacked;
  }

  // runs of rows without holes in time; rows before the latest ones are thinned, so their steps are longer
  function runs(times) {
    const split = Math.max(times.length - data.latest, 0), found = [];
    const usual = (from, to) => {
      const gaps = [...times.subarray(from + 1, to)].map((time, i) => time - times[from + i]).sort((a, b) => a - b);
      return gaps[gaps.length >> 1] ?? 0;
    };
    const [older, latest] = [usual(0, split), usual(split, times.length)];
    let start = 0;
    for (let i = 1; i <= times.length; i++) {
      if (i < times.length && times[i] - times[i - 1] <= HOLE * (i <= split ? Math.max(older, latest) : latest)) continue;
      found.push([start, i]);
      start = i;
    }
    return found;
  }

  const joined = (open, numbers) => ({
    x: open.runs.flatMap(([from, to]) => [...open.times.subarray(from, to), null]), y: open.runs.flatMap(([from, to]) => [...numbers.subarray(from, to), null]),
  });

  // the area between two curves, one outline per run
  function outlines(open, low, high) {
    const [x, y] = [[], []];
    for (const [start, to] of open.runs) {
      let from = start;
      while (from < to && Number.isNaN(low[from])) from++;
      if (from === to) continue;
      x.push(...open.times.subarray(from, to), ...open.times.slice(from, to).reverse(), open.times[from], null);
      y.push(...high.subarray(from, to), ...low.slice(from, to).reverse(), high[from], null);
    }
    return { x, y };
  }

  const horizon = () => Number(document.querySelector("#horizon input:checked")?.value ?? 0);
  const views = new Map(); // per series: indices of the first and the last row in view
  const whole = (times) => [0, times.length - 1];
  const end = (times) => [Math.max(times.length - LAST, 0), times.length - 1];

  function bounds(open, levels, [from, to]) {
    const wide = data.intervals.length ? [0, 1] : [];
    const edges = wide.flatMap((level) => [...levels[level].slice(from, to + 1)]).filter(Number.isFinite).sort((a, b) => a - b);
    const seen = [...open.values.slice(from, to + 1), ...[0.02, 0.98].map((share) => edges[Math.floor(share * (edges.length - 1))])].filter(Number.isFinite);
    const [low, high] = [Math.min(...seen), Math.max(...seen)];
    const margin = 0.05 * (high - low) || Math.abs(high) * 0.05 || 1;
    return [low - margin, high + margin];
  }

  function highest(packed, s, from, to) {
    const seen = packed.bins.flatMap((time, i) => (time <= to && (packed.bins[i + 1] ?? Infinity) >= from ? [0, 1, 3].map((f) => packed.errors[s][f][i]) : []));
    return Math.max(...seen.filter((error) => error !== null), 0) * 1.1 || 1;
  }

  function series(element) {
    const number = Number(element.dataset.series), s = horizon(), packed = data.series[number], open = unpacked(number);
    const { times, values } = open, levels = open.quantiles[s], middle = levels[levels.length - 1];
    if (!views.has(element)) views.set(element, end(times));
    const view = views.get(element);
    const band = (low, high, alpha) => ({
      ...outlines(open, low, high), mode: "lines", line: { width: 0 }, fill: "toself", fillcolor: faded("f0", alpha), hoverinfo: "skip",
    });
    const traces = [
      ...data.intervals.map((_, i) => band(levels[2 * i], levels[2 * i + 1], i ? 0.22 : 0.14)),
      { ...joined(open, middle), name: "median", mode: "lines", line: { color: colour("f0"), width: 1.8 }, hovertemplate: "median %{y:.5~g}<extra></extra>" },
      { ...joined(open, values), name: "observed", mode: "lines", line: { color: colour("truth"), width: 1.2 }, hovertemplate: "observed %{y:.5~g}<extra></extra>" },
      {
        x: packed.anomalies.map((at) => times[at]), y: packed.anomalies.map((at) => values[at]), name: "anomaly", mode: "markers", hoverinfo: "skip",
        marker: { color: "rgba(0,0,0,0)", size: 9, line: { color: colour("anomaly"), width: 1.8 } },
      },
      ...[1, 3, 0].map((f) => line(f, { x: [...packed.bins, times[times.length - 1]], y: [...packed.errors[s][f], packed.errors[s][f].at(-1)], yaxis: "y2", line: { color: colour("f" + f), width: f === 0 ? 2 : 1.2, shape: "hv" }, hoverinfo: "skip" })),
    ];
    show(element, traces, {
      hovermode: "x unified", showlegend: false, dragmode: touch ? false : "zoom", margin: { l: 56, r: 12, t: 8, b: 28 },
      xaxis: axis({ type: "date", anchor: "y2", fixedrange: false, range: [times[view[0]], times[view[1]]] }),
      yaxis: axis({ domain: [0.32, 1], range: bounds(open, levels, view) }),
      yaxis2: axis({ domain: [0, 0.2], range: [0, highest(packed, s, times[view[0]], times[view[1]])], nticks: 3 }),
      shapes: packed.alarms.map((at) => ({ type: "line", x0: at, x1: at, yref: "paper", y0: 0, y1: 1, line: { color: colour("alarm"), width: 1.5, dash: "dash" } })),
    });
    if (!element.dataset.listens) {
      element.dataset.listens = "yes";
      element.on("plotly_relayout", (change) => {
        if (!("xaxis.range[0]" in change)) return;
        const [from, to] = [0, 1].map((i) => Date.parse(String(change[`xaxis.range[${i}]`]).replace(" ", "T") + "Z"));
        const first = times.findIndex((time) => time >= from), last = times.findLastIndex((time) => time <= to);
        look(element, [first < 0 ? 0 : first, last]);
      });
    }
  }

  function look(element, [from, to]) {
    const size = unpacked(Number(element.dataset.series)).times.length;
    const length = Math.min(Math.max(to - from, Math.min(10, size - 1)), size - 1);
    const start = Math.min(Math.max(Math.round(from), 0), size - 1 - length);
    views.set(element, [start, Math.round(start + length)]);
    series(element);
  }

  function act(element, name) {
    const { times } = unpacked(Number(element.dataset.series));
    const [from, to] = views.get(element) ?? end(times), length = to - from;
    const moves = {
      left: [from - length / 2, to - length / 2], right: [from + length / 2, to + length / 2],
      in: [from + length / 4, to - length / 4], out: [from - length / 2, to + length / 2], all: whole(times), end: end(times),
    };
    look(element, moves[name].map(Math.round));
  }

  const KEYS = { ArrowLeft: "left", ArrowRight: "right", "+": "in", "=": "in", "-": "out", 0: "all", End: "end", Home: "all" };

  // ---- drawing charts when they come into view

  function draw(element) {
    const drawing = element.dataset.chart ? together[element.dataset.chart] : series;
    redraw.set(element, () => drawing(element));
    drawing(element);
  }

  const near = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) {
        near.unobserve(target);
        draw(target);
      }
    }
  }, { rootMargin: "400px" });
  charts.forEach((element) => near.observe(element));

  function setTheme(theme) {
    root.dataset.theme = theme;
    document.getElementById("theme").textContent = theme === "dark" ? "Light" : "Dark";
    redraw.forEach((draw) => draw());
  }

  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));
  setTheme(dark.matches ? "dark" : "light");

  let before = null; // the screen's theme while printing
  addEventListener("beforeprint", () => {
    if (before !== null) return;
    before = root.dataset.theme;
    root.classList.add("printing");
    root.dataset.theme = "light";
    document.querySelectorAll("details").forEach((details) => { details.open = true; });
    charts.forEach((element) => {
      near.unobserve(element);
      draw(element);
      Plotly.Plots.resize(element);
    });
  });
  addEventListener("afterprint", () => {
    root.classList.remove("printing");
    const theme = before;
    before = null;
    setTheme(theme);
    charts.forEach((element) => Plotly.Plots.resize(element));
  });

  // ---- controls

  for (const [id, press] of [["theme", () => setTheme(root.dataset.theme === "dark" ? "light" : "dark")], ["print", () => print()]]) {
    const button = document.getElementById(id);
    button.hidden = false;
    button.addEventListener("click", press);
  }
  document.querySelectorAll("#horizon input").forEach((input) =>
    input.addEventListener("change", () => charts.filter((element) => element.dataset.series && redraw.has(element)).forEach((element) => redraw.get(element)())));
  document.querySelectorAll(".card").forEach((card) => {
    const element = card.querySelector(".chart");
    card.querySelector(".buttons").hidden = false;
    card.querySelectorAll("[data-act]").forEach((button) => button.addEventListener("click", () => act(element, button.dataset.act)));
    element.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
      event.preventDefault();
      act(element, KEYS[event.key]);
    });
  });
  document.querySelectorAll("tbody.fields").forEach((fields) => {
    const heading = fields.previousElementSibling.querySelector("th"), button = document.createElement("button");
    Object.assign(button, { className: "toggle", type: "button", textContent: "▸" });
    const turn = (open) => {
      fields.hidden = !open;
      button.textContent = open ? "▾" : "▸";
      button.setAttribute("aria-expanded", open);
      button.setAttribute("aria-label", `Fields of ${heading.dataset.name}`);
    };
    heading.dataset.name = heading.textContent.trim();
    heading.prepend(button);
    button.setAttribute("aria-controls", fields.id);
    button.addEventListener("click", () => turn(fields.hidden));
    turn(false);
  });
})();
