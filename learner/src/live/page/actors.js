// The table of actors, and the list of slots to look at.
"use strict";

import { bar, orderOf, sharesOf } from "/live/panels.js";
import { element, short } from "/live/plots.js";

/** Steps produced at the last looks, by actor process: `[time, steps]`. */
const before = new Map();
/** A rate is taken over this many looks. */
const LOOKS = 10;

const COLUMNS = [
  ["actor"], ["acts with"], ["behind", "right"], ["steps", "right"], ["steps/s", "right"], ["slots", "right"],
  ["reconnects", "right"], ["what its groups do"], ["what holds up its unrolls"],
];

function rate(actor, time) {
  const looks = before.get(actor.incarnation) ?? [];
  looks.push([time, actor.produced]);
  if (looks.length > LOOKS) looks.shift();
  before.set(actor.incarnation, looks);
  const [since, steps] = looks[0];
  return time > since ? (actor.produced - steps) / (time - since) : null;
}

function row(actor, time) {
  const made = element("tr");
  const cell = (content, classes = "") => {
    const box = element("td", classes);
    box.append(content);
    made.append(box);
    return box;
  };
  const name = cell(element("span", "name", actor.id));
  name.prepend(element("span", actor.connected ? "lamp good" : "lamp bad"));
  name.title = actor.connected ? "connected" : "gone";
  cell(actor.version ?? "–");
  cell(actor.behind === null ? "–" : short(actor.behind), "right");
  cell(short(actor.produced), "right");
  cell(actor.connected ? short(rate(actor, time)) : "gone", "right");
  cell(short(actor.slots), "right");
  cell(short(actor.reconnects), "right");
  cell(bar(sharesOf(actor.groups, orderOf("actors"))));
  cell(bar(sharesOf(actor.uplink, orderOf("uplink"))));
  return made;
}

function forgetGone(actors) {
  const there = new Set(actors.map((actor) => actor.incarnation));
  for (const incarnation of before.keys()) {
    if (!there.has(incarnation)) before.delete(incarnation);
  }
}

/** Shows the actors of `state`. */
export function show(state) {
  forgetGone(state.actors);
  const head = element("tr");
  head.append(...COLUMNS.map(([name, side = ""]) => element("th", side, name)));
  const rows = state.actors.map((actor) => row(actor, state.time));
  document.getElementById("actors").replaceChildren(head, ...rows);
  const hidden = state.actors_known - state.actors.length;
  document.getElementById("actors-more").textContent =
    hidden > 0 ? `and ${hidden} more` : state.actors.length === 0 ? "No actor has come yet." : "";
}

/** Slots of the actors that are connected: `[actor, slot]`. */
export function slots(state) {
  return state.actors.filter((actor) => actor.connected)
    .flatMap((actor) => Array.from({ length: Math.min(actor.slots, 16) }, (_, slot) => [actor.id, slot]));
}
