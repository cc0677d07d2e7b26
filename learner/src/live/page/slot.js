// The view of one env slot: frames of its newest unroll, played until the next one comes.
"use strict";

import { element, shape, short } from "/live/plots.js";

const byId = (id) => document.getElementById(id);
/** Pictures a second: the worlds' own 20 ticks when every step is shown. */
const PICTURES_PER_SECOND = 20;

let looking = false;
let unroll = null;
let shown = 0;
let known = "none";
let asking = false;

/** The answer's header and frames. */
function parse(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { ...header, pixels: new Uint8Array(buffer, 4 + length) };
}

/** Brings the list of slots up to now; a choice that is gone is let go. */
export function offer(slots) {
  const list = byId("slot-choice");
  const wanted = slots.map(([actor, slot]) => JSON.stringify([actor, slot]));
  const there = [...list.options].map((option) => option.value);
  if (JSON.stringify(wanted) === JSON.stringify(there)) return;
  const chosen = list.value;
  list.replaceChildren(...slots.map(([actor, slot], index) => {
    const option = element("option", "", `${actor}, slot ${slot}`);
    option.value = wanted[index];
    return option;
  }));
  if (wanted.includes(chosen)) list.value = chosen;
  else forget();
}

function forget() {
  unroll = null;
  known = "none";
}

function say(text) {
  byId("slot-says").textContent = text;
}

/** Asks for the slot's newest unroll, once. */
export async function look() {
  const choice = byId("slot-choice").value;
  if (!looking || asking || !choice) return;
  asking = true;
  try {
    const [actor, slot] = JSON.parse(choice);
    const answer = await fetch(`/live/slot/${encodeURIComponent(actor)}/${slot}/${known}`, { cache: "no-store" });
    if (choice !== byId("slot-choice").value) return;
    if (answer.status === 200) {
      const next = parse(await answer.arrayBuffer());
      known = String(next.sequence);
      unroll = next;
      shown = 0;
      drawStrip();
    } else if (answer.status === 404) {
      say("Nobody plays in this slot any more.");
    } else if (!unroll) {
      say("Waiting for the next unroll of this slot.");
    }
  } finally {
    asking = false;
  }
}

function drawFrame() {
  if (!looking || !unroll || unroll.frames.length === 0) return;
  const { width, height, pixels, frames } = unroll;
  const canvas = byId("screen");
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const start = shown * width * height * 3;
  for (let pixel = 0; pixel < width * height; pixel += 1) {
    image.data[4 * pixel] = pixels[start + 3 * pixel];
    image.data[4 * pixel + 1] = pixels[start + 3 * pixel + 1];
    image.data[4 * pixel + 2] = pixels[start + 3 * pixel + 2];
    image.data[4 * pixel + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  describe(frames[shown]);
  shown = (shown + 1) % frames.length;
}

function describe(frame) {
  say(frame.first ? "A new episode begins." : "");
  const facts = [
    ["unroll", `${unroll.sequence}, played by version ${unroll.version}`],
    ["step", `${frame.step + 1} of ${unroll.steps}`],
    ["keys and mouse", frame.action || "nothing"],
    ["reward", short(frame.reward)],
    ["value", short(frame.value)],
  ];
  byId("slot-facts").replaceChildren(...facts.flatMap(([name, value]) => [element("dt", "", name), element("dd", "number", value)]));
  const at = (shown / Math.max(1, unroll.frames.length - 1)) * 400;
  byId("slot-cursor")?.setAttribute("x1", at);
  byId("slot-cursor")?.setAttribute("x2", at);
}

/** The value over the unroll as a curve, rewards as dots. */
function drawStrip() {
  const strip = byId("slot-plot");
  strip.setAttribute("viewBox", "0 0 400 80");
  strip.setAttribute("preserveAspectRatio", "none");
  const values = unroll.frames.map((frame) => frame.value ?? 0);
  const low = Math.min(...values);
  const high = Math.max(...values, low + 1e-6);
  const x = (index) => (index / Math.max(1, values.length - 1)) * 400;
  const y = (value) => 70 - ((value - low) / (high - low)) * 60;
  const path = values.map((value, index) => `${index ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const dots = unroll.frames.map((frame, index) => [frame, index]).filter(([frame]) => frame.reward !== 0)
    .map(([, index]) => shape("circle", { class: "dot c1", cx: x(index), cy: 76, r: 3.5 }));
  strip.replaceChildren(
    shape("path", { class: "curve c0", d: path }),
    shape("line", { id: "slot-cursor", class: "cursor", x1: 0, x2: 0, y1: 0, y2: 80 }),
    ...dots,
  );
}

function turn(on) {
  looking = on;
  byId("slot-switch").setAttribute("aria-pressed", String(on));
  byId("slot-switch").textContent = on ? "stop" : "look";
  forget();
  say(on ? "Waiting for the next unroll of this slot." : "");
}

byId("slot-switch").addEventListener("click", () => turn(!looking));
byId("slot-choice").addEventListener("change", () => turn(true));
setInterval(drawFrame, 1000 / PICTURES_PER_SECOND);

/** Starts to look, for a page that was opened with `#look`. */
export function start() {
  if (!looking) turn(true);
}
