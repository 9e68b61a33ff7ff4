"use strict";
// The score curve of a video by uPlot, with labels, events, the threshold and the present frame.
(() => {
  const root = document.getElementById("timeline");
  const HEIGHT = 170;
  let plot = null, head = null, level = null, video = null, data = null, marks = [], threshold = 0;
  let onSeek = () => {};
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Seconds of a frame from the start of the video; its number where no rate is known.
  function seconds(frame) {
    if (data && data.times) return data.times[Math.min(frame, data.times.length - 1)];
    return video && video.fps ? frame / video.fps : frame;
  }

  function frameAt(x) {
    if (!data.times) return Math.floor(x * (video.fps || 1) + 1e-6);
    let low = 0, high = data.times.length - 1;  // the last frame that begins at or before x
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (data.times[middle] <= x) low = middle; else high = middle - 1;
    }
    return low;
  }

  const two = (value) => String(value).padStart(2, "0");

  // m:ss.s, or h:mm:ss.s.
  function clock(value, digits = 1) {
    const tenths = Math.round(value * 10), whole = Math.floor(tenths / 10);
    const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
    const tail = two(whole % 60) + (digits ? "." + tenths % 10 : "");
    return hours ? `${hours}:${two(minutes)}:${tail}` : `${minutes}:${tail}`;
  }

  // Time of day in the zone of the recording: [date, time, zone].
  function moment(iso, after = 0) {
    const zone = /([+-])(\d\d):?(\d\d)$/.exec(iso);
    const minutes = zone ? (zone[1] === "-" ? -1 : 1) * (60 * zone[2] + Number(zone[3])) : 0;
    const at = new Date(Date.parse(iso) + 1000 * after + 60000 * minutes);
    if (isNaN(at)) return null;
    const text = at.toISOString();
    return [text.slice(0, 10), text.slice(11, 19), zone ? zone[0] : "UTC"];
  }

  function axisTime(value) {
    if (!video.fps && !data.times) return value.toLocaleString("en");
    const wall = video.started && moment(video.started, value);
    return wall ? wall[1] : clock(value, 0);
  }

  // Spans of frames as bands: events over the whole height, what is labelled as a strip on top.
  function bands(u, spans, style, share) {
    u.ctx.fillStyle = style;
    for (const [start, stop] of spans) {
      const left = u.valToPos(seconds(start), "x", true);
      const right = u.valToPos(seconds(stop - 1) + (video.fps ? 1 / video.fps : 1), "x", true);
      const from = Math.max(left, u.bbox.left);
      const wide = Math.min(right, u.bbox.left + u.bbox.width) - from;
      if (wide > 0) u.ctx.fillRect(from, u.bbox.top, Math.max(wide, 1), u.bbox.height * share);
    }
  }

  function show(about, details, listed) {
    video = about; data = details; marks = listed;
    build();
  }

  function build() {
    if (!video) return;
    if (plot) plot.destroy();
    const n = data.scores.length, x = new Float64Array(n), y = Array.from(data.scores);
    for (let t = 0; t < n; t++) x[t] = seconds(t);
    if (data.scored) {  // frames that do not count have no score
      const counts = new Uint8Array(n);
      for (const [start, stop] of data.scored) counts.fill(1, start, stop);
      for (let t = 0; t < n; t++) if (!counts[t]) y[t] = null;
    }
    const axis = { stroke: colour("--faint"), grid: { stroke: colour("--rule"), width: 1 },
      ticks: { stroke: colour("--rule"), width: 1 }, font: "12px system-ui" };
    head = level = null;
    plot = new uPlot({
      width: Math.max(200, root.clientWidth), height: HEIGHT, legend: { show: false },
      scales: { x: { time: false }, y: { range: video.range } },
      cursor: { y: false, drag: { x: true, y: false }, points: { size: 6 } },
      axes: [{ ...axis, size: 34, values: (u, splits) => splits.map(axisTime),
               space: video.started ? 70 : 50 },
             { ...axis, size: 44 }],
      series: [{}, { stroke: colour("--score"), width: 1.5, points: { show: false } }],
      hooks: { drawClear: [(u) => {
        bands(u, marks, colour("--event"), 1);
        bands(u, data.labels || [], colour("--truth"), 0.08);
      }], setScale: [place], draw: [place] },
    }, [x, y], root);
    head = plot.over.appendChild(document.createElement("div"));
    head.className = "playhead";
    level = plot.over.appendChild(document.createElement("div"));
    level.className = "level";
    place();
    plot.over.addEventListener("click", (click) => {
      const box = plot.over.getBoundingClientRect();
      onSeek(frameAt(plot.posToVal(click.clientX - box.left, "x")));
    });
  }

  // Moves the lines of the present frame and of the threshold.
  function place() {
    if (!plot || !level) return;
    const frame = window.vadjax.player.frame(), lasts = video.fps ? 0.5 / video.fps : 0;
    const x = plot.valToPos(seconds(frame) + lasts, "x");
    head.style.left = x + "px";
    head.hidden = x < 0 || x > plot.over.clientWidth;
    const y = plot.valToPos(threshold, "y");
    level.style.top = y + "px";
    level.hidden = y < 0 || y > plot.over.clientHeight;
  }

  new ResizeObserver(() => {
    if (plot) plot.setSize({ width: Math.max(200, root.clientWidth), height: HEIGHT });
  }).observe(root);

  window.vadjax.timeline = { show, build, place, seconds, clock, moment,
    marks: (spans) => { marks = spans; if (plot) plot.redraw(false); },
    threshold: (value) => { threshold = value; place(); },
    follow: (listener) => { onSeek = listener; } };
})();
