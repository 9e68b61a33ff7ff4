"use strict";
// The curves of a comparison. Every name and sentence is set as text.
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const HEIGHT = 170, HIGHEST = 1000;  // pixels of a plot; of a rank
  const COLOURS = { light: ["#0072b2", "#d55e00", "#00866b", "#a3488f", "#9a6a00", "#3f8fc4",
                            "#5b4bb7", "#6b7280"],
                    dark: ["#6fb0f5", "#ff9d5c", "#35c9a5", "#e58fd0", "#e8b84a", "#9ad4ff",
                           "#b3a6ff", "#aab3bd"] };
  const hidden = new Set(), plots = new Map();
  let kind = "ranks";

  function make(name, kind, text) {
    const made = document.createElement(name);
    if (kind) made.className = kind;
    if (text !== undefined) made.textContent = text;
    return made;
  }
  const style = () => getComputedStyle(document.documentElement);
  const colours = () => COLOURS[style().colorScheme.includes("dark") ? "dark" : "light"];

  // --- Curves -----------------------------------------------------------------------------------

  // One scale for all videos, so that they can be compared, with room for the strip on top.
  let ofScores = null;
  function range() {
    if (kind === "ranks") return [0, 1.08];
    if (ofScores) return ofScores;
    let low = Infinity, high = -Infinity;
    for (const video of data.videos) for (const run of video.scores) for (const value of run) {
      if (value !== null) { low = Math.min(low, value); high = Math.max(high, value); }
    }
    const margin = 0.08 * (high - low || 1);
    return ofScores = [low - margin, high + margin];
  }

  function shade(u, video, frame) {
    const { left, top, width, height } = u.bbox;
    u.ctx.fillStyle = style().getPropertyValue("--truth").trim();
    for (const [start, stop] of video.labels) {
      const from = u.valToPos(start, "x", true), to = u.valToPos(stop, "x", true);
      const x = Math.max(from, left), wide = Math.min(to, left + width) - x;
      if (wide > 0) u.ctx.fillRect(x, top, Math.max(wide, 1), 0.06 * height);
    }
    // Where the two differ most.
    const x = u.valToPos(frame, "x", true);
    u.ctx.fillStyle = style().getPropertyValue("--line").trim();
    if (x >= left && x <= left + width) u.ctx.fillRect(x - 1, top, 2, height);
  }

  function draw(root, video, frame) {
    const old = plots.get(root);
    if (old) old.destroy();
    const first = video[kind][0], axis = { stroke: style().getPropertyValue("--faint").trim(),
      grid: { stroke: style().getPropertyValue("--rule").trim(), width: 1 },
      ticks: { show: false }, font: "12px system-ui" };
    const x = first.map((_, index) => index * video.step), colour = colours();
    const scaled = video[kind].map((run) => kind === "ranks"
      ? run.map((value) => value === null ? null : value / HIGHEST) : run);
    plots.set(root, new uPlot({
      width: Math.max(200, root.clientWidth), height: HEIGHT, legend: { show: false },
      scales: { x: { time: false, range: [0, Math.max(video.frames - 1, 1)] },
                y: { range: range() } },
      cursor: { y: false, drag: { x: true, y: false } },
      axes: [{ ...axis, size: 30 }, { ...axis, size: 44 }],
      series: [{}, ...data.runs.map((run) => ({ label: run.name, width: 1.4,
        stroke: colour[run.row % colour.length], show: !hidden.has(run.row),
        points: { show: x.length === 1 } }))],
      hooks: { drawClear: [(u) => shade(u, video, frame)] },
    }, [x, ...scaled], root));
  }

  // Plots are made when they come into sight.
  const shown = new Map();
  const sight = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      if (isIntersecting && !plots.has(target)) draw(target, ...shown.get(target));
    }
  }, { rootMargin: "400px" });

  function redraw() {
    for (const root of [...plots.keys()]) draw(root, ...shown.get(root));
  }

  // --- Lists ------------------------------------------------------------------------------------

  function pair() {
    const [one, other] = [Number($("one").value), Number($("other").value)].sort((a, b) => a - b);
    return data.pairs.find((found) => found.one === one && found.other === other);
  }

  function list() {
    const chosen = pair();
    for (const plot of plots.values()) plot.destroy();
    plots.clear(); shown.clear(); sight.disconnect();
    $("curves").replaceChildren(...(chosen ? chosen.videos : []).map(([index, mean, frame]) => {
      const video = data.videos[index], part = make("article");
      part.append(make("h3")), part.firstChild.append(make("bdi", "", video.name));
      const aucs = video.auc ? ` AUC: ${video.auc.map((value, row) =>
        `${data.rows[row]} ${value}`).join(", ")}.` : "";
      part.append(make("p", "", `Differ by ${mean.toFixed(3)}, most around frame `
        + `${frame.toLocaleString("en")} of ${video.frames.toLocaleString("en")}.${aucs}`));
      const root = part.appendChild(make("div", "curve"));
      shown.set(root, [video, frame]);
      return part;
    }));
    for (const root of shown.keys()) sight.observe(root);
    document.body.dataset.pair = chosen ? `${chosen.one} ${chosen.other}` : "";
  }

  function legend() {
    $("rows").replaceChildren(...data.rows.map((name, row) => {
      const label = make("label"), box = make("input");
      box.type = "checkbox";
      box.checked = !hidden.has(row);
      box.addEventListener("change", () => {
        if (box.checked) hidden.delete(row); else hidden.add(row);
        redraw();
      });
      const swatch = make("span", "swatch");
      swatch.style.background = colours()[row % COLOURS.light.length];
      label.append(box, swatch, make("bdi", "", name));
      return label;
    }));
  }

  // --- Controls ---------------------------------------------------------------------------------

  for (const [id, first] of [["one", 0], ["other", 1]]) {
    $(id).replaceChildren(...data.rows.map((name, row) => {
      const option = make("option", "", name);
      option.value = row;
      return option;
    }));
    $(id).value = first;
    // The other one gives way where both would be the same.
    $(id).addEventListener("change", () => {
      const partner = $(id === "one" ? "other" : "one");
      if (partner.value === $(id).value) partner.value = $(id).value === "0" ? 1 : 0;
      list();
    });
  }
  $("kind").addEventListener("change", () => { kind = $("kind").value; redraw(); });
  const step = Math.max(...data.videos.map((video) => video.step));
  if (step > 1) $("points").textContent =
    `A point of a curve is the highest of up to ${step} frames.`;

  const themes = ["auto", "light", "dark"];
  $("theme").addEventListener("click", () => {
    const next = themes[(themes.indexOf(document.documentElement.dataset.theme || "auto") + 1) % 3];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    $("theme").textContent = `Theme: ${next}`;
    legend(); redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change",
    () => { legend(); redraw(); });
  new ResizeObserver(() => {
    for (const [root, plot] of plots) {
      plot.setSize({ width: Math.max(200, root.clientWidth), height: HEIGHT });
    }
  }).observe($("curves"));

  if (data.one_scale) { kind = "scores"; $("kind").value = kind; }
  legend();
  list();
  document.body.dataset.ready = "";
})();
