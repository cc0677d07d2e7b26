// Asks the learner what it does once a second and shows it; says plainly when it does not answer.
"use strict";

import * as actors from "/live/actors.js";
import * as panels from "/live/panels.js";
import { Plot, duration } from "/live/plots.js";
import * as slot from "/live/slot.js";

const BEAT_MS = 1000;
/** No answer for so long is no answer. */
const PATIENCE_MS = 4000;
/** The thinned run is asked for anew after so many seconds. */
const WHOLE_SECONDS = 30;
/** Points kept of the last minutes. */
const RECENT = 300;

const byId = (id) => document.getElementById(id);

const PLOTS = [
  [new Plot("Frames per second", [["rate/produced", "played", 0], ["rate/trained", "trained on", 2], ["rate/dropped", "dropped", 1]], 0), "ppg"],
  [new Plot("Frames per second", [["rate/trained", "trained on", 2]], 0), "bc"],
  [new Plot("Loss", [["losses/bc_loss", "cloning", 0], ["losses/validation_nll", "held out", 1]]), "bc"],
  [new Plot("Return per episode", [["charts/episodic_return", "mean", 0]]), "ppg"],
  [new Plot("Share of episodes with an item", []), "ppg"],
  [new Plot("KL, nats", [["losses/kl_to_pretrained", "to the pretrained", 3], ["losses/approx_kl", "of a phase, approximate", 0], ["losses/true_kl", "of a phase, exact", 5]]), "ppg"],
  [new Plot("Losses", [["losses/policy_loss", "policy", 0], ["losses/value_loss", "value", 1]]), "ppg"],
  [new Plot("Auxiliary phase", [["losses/aux_value_loss", "value", 1], ["losses/aux_clone_kl", "clone KL", 3]]), "ppg"],
  [new Plot("Entropy, nats", [["losses/entropy_buttons", "buttons", 0], ["losses/entropy_camera", "camera", 2]], 0), "ppg"],
  [new Plot("Fit", [["losses/explained_variance", "explained variance", 2], ["losses/clipfrac", "clipped", 1]]), "ppg"],
  [new Plot("Gradient norm", [["losses/grad_norm", "before clipping", 6]], 0), ""],
  [new Plot("Staleness, versions", [["charts/staleness", "mean of a batch", 4]], 0), "ppg"],
  [new Plot("Queue, share of its places", [["queue/fill", "taken", 0]], 0), "ppg"],
  [new Plot("Actors", [["actors/connected", "connected", 2]], 0), "ppg"],
];

let history = null;
let range = "recent";
let answered = null;
let wholeAt = 0;

/** The learner did not answer, or not with what was asked for. */
class Unanswered extends Error {}

async function ask(path) {
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), PATIENCE_MS);
  try {
    const answer = await fetch(path, { cache: "no-store", signal: patience.signal });
    if (!answer.ok) throw new Unanswered(`HTTP ${answer.status}`);
    return await answer.json();
  } catch (error) {
    throw new Unanswered(error.message);
  } finally {
    clearTimeout(timer);
  }
}

/** Adds the newest point to what is known; false when points are missing between them. */
function append(newest) {
  if (!history || newest.number < history.number || newest.number > history.number + 5) return false;
  if (newest.number === history.number) return true;
  history.number = newest.number;
  const { times, series } = history.recent;
  times.push(newest.time);
  for (const name of Object.keys(newest.values)) series[name] ??= Array(times.length - 1).fill(null);
  for (const [name, values] of Object.entries(series)) values.push(newest.values[name] ?? null);
  if (times.length > RECENT) {
    times.shift();
    for (const values of Object.values(series)) values.shift();
  }
  return true;
}

async function bringUpToNow(newest) {
  const isOld = range === "whole" && newest.time > wholeAt + WHOLE_SECONDS;
  if (append(newest) && !isOld) return;
  history = await ask("/live/history");
  wholeAt = newest.time;
}

/** One curve an item, the most common ones. */
function items(series) {
  const last = (values) => values.findLast((value) => value !== null) ?? 0;
  return Object.keys(series).filter((name) => name.startsWith("items/") && last(series[name]) > 0)
    .sort((a, b) => last(series[b]) - last(series[a])).slice(0, 8)
    .map((name, colour) => [name, name.slice("items/".length, -"_share".length).replaceAll("_", " "), colour]);
}

function draw(stage) {
  const data = history[range];
  for (const [plot, only] of PLOTS) {
    plot.node.hidden = only !== "" && only !== stage;
    if (plot.node.hidden) continue;
    if (plot === PLOTS[4][0]) plot.draw(data, items(data.series));
    else plot.draw(data);
  }
}

function alarm(text, isWaiting) {
  const box = byId("alarm");
  box.hidden = text === "";
  box.textContent = text;
  box.classList.toggle("waiting", isWaiting);
  byId("content").classList.toggle("stale", text !== "" && !isWaiting);
  byId("lamp").className = `lamp ${text === "" ? "good" : isWaiting ? "warn" : "bad"}`;
}

async function beat() {
  const began = Date.now();
  try {
    const state = await ask("/live/state");
    answered = Date.now();
    if (!state.ready) {
      alarm("The learner reads its checkpoint and its data; it does not train yet.", true);
      return;
    }
    alarm("", false);
    panels.show(state, state.newest);
    actors.show(state);
    slot.offer(actors.slots(state));
    if (state.newest) {
      await bringUpToNow(state.newest);
      draw(state.stage);
    }
    await slot.look();
  } catch (error) {
    console.warn(error);
    if (!(error instanceof Unanswered)) {
      alarm(`This page cannot show what the learner says: ${error.message}`, false);
      return;
    }
    const since = answered === null ? "" : ` for ${duration((Date.now() - answered) / 1000)}`;
    const kept = answered === null ? "" : ` What is below is from ${new Date(answered).toLocaleTimeString()}.`;
    alarm(`The learner does not answer${since}.${kept}`, false);
  } finally {
    setTimeout(beat, Math.max(100, BEAT_MS - (Date.now() - began)));
  }
}

byId("plots").append(...PLOTS.map(([plot]) => plot.node));
for (const button of byId("range").querySelectorAll("button")) {
  button.addEventListener("click", () => {
    range = button.dataset.range;
    wholeAt = 0;
    for (const other of byId("range").querySelectorAll("button")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
  });
}
if (location.hash === "#look") slot.start();
beat();
