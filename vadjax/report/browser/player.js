"use strict";
// The film, and boxes and heat over it. Frame t of a video is its film from t / fps seconds on.
window.vadjax = {};
(() => {
  const $ = (id) => document.getElementById(id);
  const film = $("film"), still = $("still"), canvas = $("overlay");
  const SETTLED = 250;  // milliseconds after a seek, when its picture is there
  const WEAK = "rgba(190, 205, 220, .75)", STRONG = "#ff8a3d", HOT = "255, 138, 61";
  let video = null, data = null, frame = 0, wanted = null, threshold = 0, picture = null;
  let onFrame = () => {};

  // Places of sorted `values` that equal `key`, as [first, end).
  function range(values, key) {
    const bound = (least) => {
      let low = 0, high = values.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (values[middle] < least) low = middle + 1; else high = middle;
      }
      return low;
    };
    return [bound(key), bound(key + 1)];
  }

  // Shows a video: `about` from data.js, `details` from its own file.
  function show(about, details) {
    video = about; data = details; frame = 0; wanted = null; picture = null;
    film.pause();
    film.hidden = !about.film;
    still.hidden = true;
    $("nofilm").hidden = Boolean(about.film);
    $("nofilm").textContent = about.film ? "" : about.no_film || "There is no film of this video.";
    $("play").disabled = !about.film;
    $("boxes-label").hidden = !details.boxes;
    $("heat-label").hidden = !details.heat;
    if (about.film) film.src = about.film; else film.removeAttribute("src");
    draw();
  }

  // Goes to a frame, and pauses there unless `playing`. A seek to the middle of a frame's time finds
  // it whatever way the browser rounds.
  function seek(to, playing) {
    if (!video) return;
    frame = Math.max(0, Math.min(video.frames - 1, Math.round(to)));
    if (video.film) {
      if (!playing) film.pause();
      wanted = frame;
      if (film.readyState > 0) film.currentTime = (frame + 0.5) / video.film_fps;
    }
    draw();
    onFrame(frame);
  }

  function toggle() {
    if (!video || !video.film) return;
    wanted = null;
    if (film.paused) film.play().catch(() => {}); else film.pause();
  }

  // The picture that is shown now, by its time in the film.
  function shown(seconds) {
    const now = Math.min(video.frames - 1, Math.floor(seconds * video.film_fps + 0.01));
    document.body.dataset.shown = now;
    if (film.seeking || (film.paused && wanted !== null)) return;  // a seek has said the frame
    frame = now;
    draw();
    onFrame(frame);
  }

  // A browser may leave out its call for a picture that comes during the call for the one before.
  function settle() {
    if (video && video.film && film.paused && !film.seeking) shown(film.currentTime);
  }

  function follow() {
    if ("requestVideoFrameCallback" in film) {
      const next = (now, about) => {
        if (video && video.film) shown(about.mediaTime);
        film.requestVideoFrameCallback(next);
      };
      film.requestVideoFrameCallback(next);
    } else {
      film.addEventListener("timeupdate", () => { if (!film.seeking) shown(film.currentTime); });
    }
    film.addEventListener("seeked", () => { draw(); setTimeout(settle, SETTLED); });
    film.addEventListener("loadedmetadata", () => { if (wanted !== null) seek(wanted); draw(); });
    film.addEventListener("error", () => {
      if (!film.getAttribute("src")) return;
      $("nofilm").hidden = false;
      $("nofilm").textContent = "This browser cannot play the film " + film.getAttribute("src") +
        ". It is H.264 in mp4; is the file beside the page, in its folder?";
    });
    for (const name of ["play", "pause"]) film.addEventListener(name, () => {
      $("play").textContent = film.paused ? "Play" : "Pause";
    });
    film.addEventListener("click", toggle);
    new ResizeObserver(draw).observe($("stage"));
    still.addEventListener("load", draw);
  }

  // Where the picture lies in its element: boxes are in pixels of a frame of `data.size`.
  function place() {
    const element = film.hidden ? still : film, stage = $("stage").getBoundingClientRect();
    const width = film.hidden ? still.naturalWidth : film.videoWidth;
    const height = film.hidden ? still.naturalHeight : film.videoHeight;
    if (element.hidden || !width) return null;
    const outer = element.getBoundingClientRect();
    const scale = Math.min(outer.width / width, outer.height / height);
    return { left: outer.left - stage.left + (outer.width - width * scale) / 2,
      top: outer.top - stage.top + (outer.height - height * scale) / 2,
      width: width * scale, height: height * scale };
  }

  function draw() {
    const at = data && !film.hidden ? place() : null, ratio = window.devicePixelRatio || 1;
    canvas.hidden = !at;
    if (!at) return;
    Object.assign(canvas.style, { left: at.left + "px", top: at.top + "px",
      width: at.width + "px", height: at.height + "px" });
    canvas.width = Math.round(at.width * ratio);
    canvas.height = Math.round(at.height * ratio);
    const paint = canvas.getContext("2d");
    paint.scale(ratio, ratio);
    if (data.heat && $("heat").checked) drawHeat(paint, at);
    if (data.boxes && $("boxes").checked) drawBoxes(paint, at);
  }

  // Hot cells: an outline around them, and a tint so light that what is below it can be seen.
  function drawHeat(paint, at) {
    const heat = data.heat, t = frame - frame % heat.every;
    const [first, end] = range(heat.frames, t);
    const wide = at.width / heat.columns, high = at.height / heat.rows, hot = new Map();
    for (let i = first; i < end; i++) hot.set(heat.cells[i], heat.levels[i] / 15);
    const is = (row, column) => row >= 0 && column >= 0 && row < heat.rows &&
      column < heat.columns && hot.has(row * heat.columns + column);
    const edges = new Path2D();
    for (const [cell, level] of hot) {
      const row = Math.floor(cell / heat.columns), column = cell % heat.columns;
      const x = column * wide, y = row * high;
      paint.fillStyle = `rgba(${HOT}, ${0.06 + 0.2 * level})`;
      paint.fillRect(x, y, wide, high);
      if (!is(row - 1, column)) { edges.moveTo(x, y); edges.lineTo(x + wide, y); }
      if (!is(row + 1, column)) { edges.moveTo(x, y + high); edges.lineTo(x + wide, y + high); }
      if (!is(row, column - 1)) { edges.moveTo(x, y); edges.lineTo(x, y + high); }
      if (!is(row, column + 1)) { edges.moveTo(x + wide, y); edges.lineTo(x + wide, y + high); }
    }
    stroke(paint, edges, STRONG, 1.5);
  }

  function stroke(paint, path, colour, width) {
    paint.lineJoin = "round";
    paint.strokeStyle = "rgba(0, 0, 0, .6)"; paint.lineWidth = width + 2; paint.stroke(path);
    paint.strokeStyle = colour; paint.lineWidth = width; paint.stroke(path);
  }

  // Boxes of the frame, or of the last frame before it that was looked at.
  function drawBoxes(paint, at) {
    const boxes = data.boxes, line = boxes.line === null ? threshold : boxes.line;
    const [first, end] = range(boxes.frames, frame - frame % boxes.every);
    const [height, width] = data.size, x = at.width / width, y = at.height / height;
    const order = [];
    for (let i = first; i < end; i++) order.push(i);
    order.sort((a, b) => boxes.scores[a] - boxes.scores[b]);
    let names = [];
    for (const i of order) {
      const [x0, y0, x1, y1] = boxes.corners.subarray(4 * i, 4 * i + 4);
      const path = new Path2D(), strong = boxes.scores[i] >= line;
      path.rect(x0 * x, y0 * y, (x1 - x0) * x, (y1 - y0) * y);
      if (strong) stroke(paint, path, STRONG, 2);
      else { paint.strokeStyle = WEAK; paint.lineWidth = 1; paint.stroke(path); }
      if (strong) names.push([boxes.scores[i].toFixed(2), x0 * x, y0 * y, y1 * y]);
    }
    names = names.slice(-4);  // of the highest; more would hide the picture
    paint.font = "600 12px system-ui, sans-serif";
    for (const [text, left, top, bottom] of names) {
      const wide = paint.measureText(text).width + 6, up = top >= 18 ? top - 18 : bottom + 2;
      const from = Math.max(0, Math.min(left, at.width - wide));
      paint.fillStyle = "rgba(20, 16, 12, .8)"; paint.fillRect(from, up, wide, 16);
      paint.fillStyle = "#ffd9bd"; paint.fillText(text, from + 3, up + 12);
    }
    document.body.dataset.boxes = order.length;
  }

  // Without a film: the picture of an event.
  function picture_of(event) {
    if (!video || video.film) return;
    still.hidden = !event.seen;
    $("nofilm").hidden = Boolean(event.seen);
    if (event.seen) still.src = event.seen;
  }

  window.vadjax.player = { show, seek, toggle, draw, picture: picture_of,
    frame: () => frame, playing: () => !film.paused,
    speed: (rate) => { film.defaultPlaybackRate = film.playbackRate = rate; },
    threshold: (value) => { threshold = value; draw(); },
    follow: (listener) => { onFrame = listener; follow(); } };
})();
