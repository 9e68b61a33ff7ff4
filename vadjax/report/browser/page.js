"use strict";
// The lists, the threshold, keys, and loading of data. Every name and sentence is set as text.
(() => {
  const $ = (id) => document.getElementById(id);
  const { player, timeline } = window.vadjax;
  const loaded = new Map(), waiting = new Map();
  let report = null, threshold = 0, chosen = -1;
  let video = -1, wish = null;  // the video that is shown, and what is to be shown next

  function make(name, kind, text) {
    const made = document.createElement(name);
    if (kind) made.className = kind;
    if (text !== undefined) made.textContent = text;
    return made;
  }
  const isolated = (name) => make("bdi", "", name);  // its direction does not turn its neighbours
  const number = (value) => value === null ? "–" : Math.abs(value) >= 100 ? value.toFixed(0)
    : value.toFixed(Math.abs(value) >= 10 ? 1 : 2);

  // --- Data -------------------------------------------------------------------------------------

  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const words = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, f32: Float32Array };

  // Arrays come as {type, data, low?, high?}; with low and high they are fractions of 65,535.
  function array(packed) {
    const raw = bytes(packed.data), values = new words[packed.type](raw.buffer);
    if (packed.low === undefined) return values;
    const step = (packed.high - packed.low) / 65535;
    return Float64Array.from(values, (value) => packed.low + value * step);
  }

  function unpack(given) {
    const result = { ...given, scores: array(given.scores) };
    if (given.times) result.times = array(given.times);
    for (const [name, parts] of [["boxes", ["frames", "corners", "scores"]],
                                 ["heat", ["frames", "cells", "levels"]]]) {
      if (!given[name]) continue;
      result[name] = { ...given[name] };
      for (const part of parts) result[name][part] = array(given[name][part]);
    }
    return result;
  }

  // The data of a video: a script beside the page, since a page on disk may fetch nothing.
  function load(index) {
    if (loaded.has(index)) return Promise.resolve(loaded.get(index));
    if (!waiting.has(index)) waiting.set(index, new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = report.videos[index].data;
      script.onload = () => loaded.has(index) ? resolve(loaded.get(index))
        : reject(new Error(script.src + " holds no data of this video; make the report again"));
      script.onerror = () => {
        waiting.delete(index);
        reject(new Error(script.src + " is missing; copy the whole folder of the report"));
      };
      document.head.append(script);
    }));
    return waiting.get(index);
  }
  window.vadjax.add = (index, given) => { loaded.set(index, unpack(given)); };

  // --- Showing ----------------------------------------------------------------------------------

  // Whether the frame is shown then: not if its data are missing, or another was wished meanwhile.
  async function open(index, frame) {
    const own = wish = {};
    if (index !== video) {
      let details;
      try { details = await load(index); } catch (error) { note(error.message); return false; }
      if (wish !== own) return false;
      video = index;
      const about = report.videos[index];
      $("name").textContent = about.name;
      player.show(about, details);
      timeline.show(about, details, spans(index));
      legend(details);
      document.body.dataset.video = about.name;
      for (const item of $("videos").children) {
        item.classList.toggle("chosen", Number(item.dataset.video) === index);
      }
      verdict();
    }
    player.seek(frame);
    return true;
  }

  function verdict() {
    if (video < 0) return;
    const about = report.videos[video], count = listed().filter((e) => e.video === video).length;
    $("verdict").textContent = about.score < threshold ? "nothing unusual at this threshold"
      : count ? `${count} event${count > 1 ? "s" : ""} listed` : "";
  }

  const spans = (index) => report.events
    .filter((event) => event.video === index && event.score >= threshold)
    .map((event) => [event.start, event.stop]);

  function legend(details) {
    $("legend").replaceChildren();
    const truth = details.labels && details.labels.length;
    for (const [kind, text] of [["event", "event"], ...(truth ? [["truth", "labelled"]] : [])]) {
      $("legend").append(make("span", "key " + kind), text);
    }
  }

  function clockOf(frame) {
    const about = report.videos[video], at = timeline.seconds(frame);
    const timed = about.fps || (loaded.get(video) || {}).times;
    const wall = about.started && timeline.moment(about.started, at);
    return [...(timed ? [timeline.clock(at)] : []), ...(wall ? [wall.join(" ")] : []),
      `frame ${frame.toLocaleString("en")}`].join(" · ");
  }

  function moved(frame) {
    if (video < 0 || !loaded.has(video)) return;
    const score = loaded.get(video).scores[frame];
    $("clock").textContent = `${clockOf(frame)} · score ${number(score)}`;
    document.body.dataset.frame = frame;
    timeline.place();
  }

  function note(text) {
    if ([...$("notes").children].some((one) => one.textContent === text)) return;  // said already
    const line = make("p", "warn");
    line.append(isolated(text));
    $("notes").append(line);
  }

  // --- Events -----------------------------------------------------------------------------------

  function when(event) {
    const parts = [];
    if (event.start_s !== null) {
      parts.push(`${timeline.clock(event.start_s)}\u00a0–\u00a0${timeline.clock(event.stop_s)}`);
    } else parts.push(`frames ${event.start} – ${event.stop - 1}`);
    const wall = event.time && timeline.moment(event.time);
    if (wall) parts.push(wall.join(" "));
    return parts.join(" · ");
  }

  function figure(source, caption, alt) {
    const made = make("figure"), image = make("img");
    Object.assign(image, { src: source, alt, loading: "lazy", decoding: "async" });
    made.append(image, make("figcaption", "", caption));
    return made;
  }

  function item(event, index) {
    const row = make("li"), go = make("button", "open"), about = make("span", "about");
    go.type = "button";
    row.dataset.event = index;
    if (event.seen || event.normal) {
      const pictures = make("span", "pictures");
      if (event.seen) pictures.append(figure(event.seen, "seen", "The event"));
      if (event.normal) {
        pictures.append(figure(event.normal, "nearest normal", "The nearest normal picture"));
      }
      go.append(pictures);
    }
    const head = make("span", "head"), name = make("span", "name");
    const score = make("span", event.alarm ? "alarm" : "below", `· score ${number(event.score)}`);
    head.append(when(event), " ", score);
    name.append("video ", isolated(report.videos[event.video].name));
    about.append(head, name);
    if (event.text) {
      const text = make("span", "text");
      text.append(isolated(event.text));
      about.append(text);
    }
    const marks = [];
    if (event.nearest) marks.push(event.nearest);
    if (!event.alarm && report.line !== null) marks.push("below the line");
    if (event.labelled !== null) marks.push(event.labelled ? "labelled anomalous" : "labelled normal");
    if (marks.length) {
      const nearest = make("span", "nearest");
      nearest.append(isolated(marks.join(" · ")));
      about.append(nearest);
    }
    go.append(about);
    go.addEventListener("click", () => choose(index));
    row.append(go);
    const more = make("div", "more");
    if (event.normal_command) {
      const button = make("button", "normal", "This was normal");
      button.type = "button";
      button.title = "Copies the command that adds these frames to what the model knows as normal";
      button.addEventListener("click", () => copy(event.normal_command, more, button));
      more.append(button);
    }
    if (event.numbers) {
      const folded = make("details"), numbers = make("pre", "", event.numbers);
      folded.append(make("summary", "", "numbers"), numbers);
      more.append(folded);
    }
    if (more.children.length) row.append(more);
    return row;
  }

  async function copy(text, around, button) {
    let copied = false;
    try { await navigator.clipboard.writeText(text); copied = true; } catch (error) {
      const area = make("textarea", "", text);  // a page on disk may lack the clipboard
      document.body.append(area);
      area.select();
      try { copied = document.execCommand("copy"); } catch (none) { copied = false; }
      area.remove();
    }
    button.textContent = copied ? "Copied: run it where the run is" : "Copy this command";
    if (!around.querySelector(".command")) around.append(make("pre", "command", text));
  }

  function listed() {
    const reason = $("reason").value, where = $("where").value;
    return report.events.filter((event) => event.score >= threshold &&
      (reason === "" || event.reasons.includes(reason)) &&
      (where === "" || event.video === Number(where)));
  }

  const order = () => [...$("events").children].filter((row) => !row.hidden)
    .map((row) => Number(row.dataset.event));

  function refresh() {
    const shown = new Set(listed());
    for (const row of $("events").children) row.hidden = !shown.has(report.events[row.dataset.event]);
    const count = shown.size;
    $("count").textContent = count ? `${count.toLocaleString("en")} event${count > 1 ? "s" : ""}`
      : report.events.some((event) => event.score >= threshold) ? "No event of this kind"
        : "Nothing unusual: no score reaches the threshold";
    for (const row of $("videos").children) {
      const about = report.videos[row.dataset.video];
      row.querySelector(".below").textContent = about.score < threshold
        ? `nothing unusual (highest score ${number(about.score)})`
        : `highest score ${number(about.score)}`;
      row.querySelector(".below").classList.toggle("alarm", about.score >= threshold);
    }
    if (video >= 0) timeline.marks(spans(video));
    verdict();
  }

  function sort() {
    const rows = [...$("events").children], by = $("sort").value;
    rows.sort((a, b) => {
      const one = report.events[a.dataset.event], other = report.events[b.dataset.event];
      if (by === "score") return other.score - one.score || one.start - other.start;
      const times = (one.time ? Date.parse(one.time) : 0) - (other.time ? Date.parse(other.time) : 0);
      return times || report.videos[one.video].order - report.videos[other.video].order ||
        one.start - other.start;
    });
    $("events").append(...rows);
  }

  function choose(index) {
    chosen = index;
    for (const row of $("events").children) {
      const is = Number(row.dataset.event) === index;
      row.classList.toggle("chosen", is);
      if (is) reveal(row);
    }
    document.body.dataset.event = index;
    const event = report.events[index];
    open(event.video, event.frame).then((shown) => { if (shown) player.picture(event); });
  }

  // Scrolls the list to a row, and the page to the film where it is out of sight.
  function reveal(row) {
    const list = $("events"), of_list = list.getBoundingClientRect();
    const of_row = row.getBoundingClientRect();
    if (list.scrollHeight > list.clientHeight) {
      if (of_row.top < of_list.top) list.scrollTop -= of_list.top - of_row.top;
      if (of_row.bottom > of_list.bottom) list.scrollTop += of_row.bottom - of_list.bottom;
    }
    seeFilm();
  }

  function seeFilm() {
    const stage = $("stage").getBoundingClientRect();
    if (stage.top < 0 || stage.top > window.innerHeight / 2) $("watch").scrollIntoView();
  }

  function step(by) {
    const rows = order();
    if (!rows.length) return;
    const now = rows.indexOf(chosen);
    choose(rows[now < 0 ? (by > 0 ? 0 : rows.length - 1)
      : Math.max(0, Math.min(rows.length - 1, now + by))]);
  }

  // --- Threshold --------------------------------------------------------------------------------

  // Alarms an hour at a threshold, linear between the rows of the run.
  function rateAt(value) {
    const rows = report.alarm.rates;
    if (!rows.length) return null;
    let at = rows.findIndex((row) => row[0] >= value);
    if (at < 0) return rows[rows.length - 1][1];
    if (at === 0) return rows[0][1];
    const [[x0, y0], [x1, y1]] = [rows[at - 1], rows[at]];
    return x1 > x0 ? y0 + (y1 - y0) * (value - x0) / (x1 - x0) : y1;
  }

  function setThreshold(value) {
    threshold = Number(value);
    $("threshold").value = threshold;
    const range = report.range[1] - report.range[0];
    $("value").textContent = threshold.toFixed(range > 20 ? 1 : range > 2 ? 2 : 3);
    if (report.alarm) {
      const rate = rateAt(threshold), alarm = report.alarm;
      const hours = alarm.hours < 2 ? `measured on ${number(60 * alarm.hours)} minutes held out`
        : `measured on ${number(alarm.hours)} hours held out`;
      $("rate").textContent = rate === null ? "" :
        `${rate < 0.005 ? "fewer than 0.01" : number(rate)} alarms an hour on normal footage (${hours}` +
        `${alarm.hours * rate < 1 ? "; too short to count so few, extrapolated" : ""}` +
        `${alarm.reliable ? "" : "; too little footage, not reliable"})`;
    }
    if (report.measures) {
      const { thresholds, precision, recall } = report.measures;
      let at = thresholds.findIndex((one) => one >= threshold - 1e-9);
      if (at < 0) at = thresholds.length - 1;
      $("quality").textContent = `Of the labelled frames: precision ${number(precision[at])}, ` +
        `recall ${number(recall[at])}`;
    }
    player.threshold(threshold);
    timeline.threshold(threshold);
    refresh();
  }

  // --- Start ------------------------------------------------------------------------------------

  function options(select, first, pairs) {
    select.append(new Option(first, ""));
    for (const [value, text] of pairs) select.append(new Option(text, value));
  }

  window.vadjax.start = (given) => {
    report = given;
    document.title = report.title;
    $("title").firstElementChild.textContent = $("title").title = report.title;
    for (const text of report.notes) note(text);
    $("figures").hidden = !report.figures;
    $("made").textContent = report.made;
    // The two lists.
    $("events").append(...report.events.map(item));
    $("videos").append(...report.videos.map((about, index) => {
      const row = make("li"), go = make("button"), name = make("span", "name");
      row.dataset.video = index;
      name.append(isolated(about.name));
      go.type = "button";
      go.append(name, make("span", "below"), make("span", "faint", about.length));
      go.addEventListener("click", () => { open(index, about.peak); seeFilm(); });
      row.append(go);
      return row;
    }));
    // Filters.
    const reasons = new Map();
    for (const event of report.events) for (const reason of event.reasons) {
      reasons.set(reason, (reasons.get(reason) || 0) + 1);
    }
    options($("reason"), "any", [...reasons].map(([name, count]) => [name, `${name} (${count})`]));
    options($("where"), "all", report.videos.map((about, index) => [index, about.name]));
    for (const id of ["reason", "where"]) $(id).addEventListener("change", refresh);
    $("sort").addEventListener("change", sort);
    const slider = $("threshold"), [low, high] = report.range;
    Object.assign(slider, { min: low, max: high, step: (high - low) / 400 || 1 });
    slider.addEventListener("input", () => setThreshold(slider.value));
    $("line").hidden = report.line === null;
    $("line").addEventListener("click", () => setThreshold(report.line));
    player.follow(moved);
    timeline.follow((frame) => player.seek(frame));
    setThreshold(report.start);
    sort();
    // The frame that the address names (#video=NAME&frame=T), else the first event or video.
    const named = new URLSearchParams(location.hash.slice(1));
    const index = report.videos.findIndex((about) => about.name === named.get("video"));
    const rows = order();
    if (index >= 0) open(index, Number(named.get("frame")) || 0);
    else if (rows.length) choose(rows[0]);
    else if (report.videos.length) open(0, report.videos[0].peak);
    document.body.dataset.ready = "yes";
  };

  $("play").addEventListener("click", player.toggle);
  $("back").addEventListener("click", () => player.seek(player.frame() - 1));
  $("forward").addEventListener("click", () => player.seek(player.frame() + 1));
  $("speed").addEventListener("change", () => player.speed(Number($("speed").value)));
  for (const id of ["boxes", "heat"]) $(id).addEventListener("change", player.draw);

  document.addEventListener("keydown", (press) => {
    const within = press.target.tagName;
    if (press.ctrlKey || press.metaKey || press.altKey || within === "SELECT") return;
    if (within === "INPUT" && press.key.startsWith("Arrow")) return;  // moves the slider
    const second = press.shiftKey ? Math.max(1, Math.round((report.videos[video] || {}).fps || 10)) : 1;
    const keys = {
      " ": player.toggle, n: () => step(1), p: () => step(-1),
      ArrowLeft: () => player.seek(player.frame() - second),
      ArrowRight: () => player.seek(player.frame() + second),
      b: () => $("boxes").click(), h: () => $("heat").click(),
    };
    if (!(press.key in keys)) return;
    press.preventDefault();
    keys[press.key]();
  });

  // Light, dark, or as the system has it.
  const themes = ["auto", "light", "dark"];
  function theme(name) {
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    $("theme").textContent = "Theme: " + name;
    $("theme").dataset.theme = name;
    timeline.build();
  }
  $("theme").addEventListener("click", () => {
    const next = themes[(themes.indexOf($("theme").dataset.theme) + 1) % 3];
    try { localStorage.setItem("vadjax-theme", next); } catch (none) { /* not kept */ }
    theme(next);
  });
  let kept = "auto";
  try { kept = localStorage.getItem("vadjax-theme"); } catch (none) { /* a browser without it */ }
  theme(themes.includes(kept) ? kept : "auto");
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => timeline.build());
})();
