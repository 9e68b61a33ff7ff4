"use strict";
// Asks once a second for what is watched and shows it. Names and sentences come from outside: they
// are only ever set as text, never as markup.
const MINUTES = 5;
const LATE = 5; // seconds without a picture
const cards = new Map();

function element(name, parent, className) {
  const made = document.createElement(name);
  if (className) made.className = className;
  parent.append(made);
  return made;
}

function card(camera) {
  if (cards.has(camera.name)) return cards.get(camera.name);
  const section = element("section", document.getElementById("cameras"));
  const made = {
    title: element("h2", section),
    state: element("p", section),
    picture: element("img", section, "now"),
    curve: element("canvas", section),
    events: element("ol", section),
    shown: "",
  };
  made.title.textContent = camera.name;
  made.picture.alt = "current picture of " + camera.name;
  cards.set(camera.name, made);
  return made;
}

function draw(canvas, camera) {
  const scale = window.devicePixelRatio || 1;
  const width = (canvas.width = canvas.clientWidth * scale);
  const height = (canvas.height = canvas.clientHeight * scale);
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const top = Math.max(1, ...camera.curve.map((point) => point[1]));
  const x = (seconds) => width * (1 + seconds / (60 * MINUTES));
  const y = (score) => height * (1 - score / top);
  context.lineWidth = 1.5 * scale;
  if (camera.line !== null) {
    context.strokeStyle = style.getPropertyValue("--line");
    context.beginPath();
    context.moveTo(0, y(camera.line));
    context.lineTo(width, y(camera.line));
    context.stroke();
  }
  context.strokeStyle = style.getPropertyValue("--curve");
  context.beginPath();
  camera.curve.forEach(([seconds, score], number) => {
    const apart = number === 0 || seconds - camera.curve[number - 1][0] > 3;
    if (apart) context.moveTo(x(seconds), y(score));
    else context.lineTo(x(seconds), y(score));
  });
  context.stroke();
}

function list(made, camera) {
  const now = JSON.stringify(camera.events);
  if (now === made.shown) return;
  made.shown = now;
  made.events.replaceChildren();
  for (const event of camera.events.slice().reverse()) {
    const row = element("li", made.events, event.held ? "held" : "");
    if (event.snapshot) element("img", row).src = event.snapshot;
    const words = element("div", row);
    const at = event.time || event.noticed;
    const state = event.open ? "now" : event.held ? "no alert: " + event.held : "";
    const parts = [at.slice(0, 19).replace("T", " "), "score " + event.score.toFixed(2), state];
    element("div", words).textContent = parts.filter(Boolean).join(" · ");
    element("div", words).textContent = event.text;
    if (event.clip && !event.open) {
      const link = element("a", words);
      link.href = event.clip;
      link.textContent = "clip";
    }
  }
}

function show(camera) {
  const made = card(camera);
  const late = camera.age === null || camera.age > LATE;
  made.state.className = late ? "late" : "";
  made.state.textContent =
    camera.age === null
      ? camera.curve.length ? `over · ${camera.count} events` : "no picture yet"
      : `score ${camera.score.toFixed(2)} · ${camera.count} events` +
        (late ? ` · last picture ${Math.round(camera.age)} s ago` : "");
  if (camera.age !== null) made.picture.src = `/picture/${camera.number}.jpg?at=${Date.now()}`;
  draw(made.curve, camera);
  list(made, camera);
}

async function update() {
  const problem = document.getElementById("problem");
  try {
    const answer = await fetch("/state.json");
    if (!answer.ok) throw new Error(String(answer.status));
    (await answer.json()).cameras.forEach(show);
    problem.hidden = true;
  } catch (error) {
    problem.hidden = false;
  }
  setTimeout(update, 1000);
}

update();
