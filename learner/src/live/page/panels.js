// The panels of the moment: facts, tiles, verdict, accounts, ledger.
"use strict";

import { duration, element, short } from "/live/plots.js";

const CHAIN = [
  ["env", "worlds"], ["inference", "inference"], ["network", "network"],
  ["decode", "decoding"], ["train", "training"], ["publish", "publishing"],
];

/** In cloning there are no actors. */
const RECORDED_CHAIN = [["decode", "loading recorded play"], ["train", "training"]];

/** In words, and the order and colour in which shares of time are drawn. */
const ACCOUNTS = [
  ["training", "training thread", ["wait_data", "forward", "backward", "optimizer", "batch", "publish", "checkpoint", "report"]],
  ["intake", "receiving streams", ["wait_actor", "decode", "place"]],
  ["actors", "actors' groups", ["wait_env", "infer", "encode", "wait_outbox", "wait_weights", "wait_learner", "start", "drain"]],
  ["uplink", "actors' uplinks", ["idle", "send", "wait_ack", "wait_credit", "away"]],
];

const byId = (id) => document.getElementById(id);

const percent = (share) => `${Math.round(100 * share)} %`;

/** A bar of shares `[name, share, colour]`; what is missing to the whole stays empty. */
export function bar(shares) {
  const drawn = element("div", "bar");
  for (const [name, share, colour] of shares) {
    if (share <= 0) continue;
    const part = element("span", colour);
    part.style.width = `${100 * share}%`;
    part.title = `${name.replaceAll("_", " ")} ${percent(share)}`;
    drawn.append(part);
  }
  return drawn;
}

function legend(shares, written) {
  const drawn = element("div", "legend");
  for (const [name, share, colour] of shares) {
    drawn.append(element("span", `key ${colour}`, `${name.replaceAll("_", " ")} ${written(share)}`));
  }
  return drawn;
}

/** Seconds by state as shares, in the order and with the colours of `order`; the rest in grey. */
export function sharesOf(seconds, order) {
  const total = Object.values(seconds).reduce((sum, part) => sum + part, 0);
  if (total <= 0) return [];
  const known = order.filter((name) => name in seconds).map((name, index) => [name, index]);
  const rest = Object.keys(seconds).filter((name) => !order.includes(name));
  return known.map(([name, index]) => [name, seconds[name] / total, index < 8 ? `c${index}` : "rest"])
    .concat(rest.map((name) => [name, seconds[name] / total, "rest"]));
}

/** The order in which an account's states are drawn. */
export const orderOf = (account) => ACCOUNTS.find(([name]) => name === account)[2];

function facts(state) {
  const shown = [
    ["run", state.run_id], ["stage", state.stage === "bc" ? "cloning" : state.stage],
    ["phase", state.phase.replaceAll("_", " ")], ["version", state.version], ["up", duration(state.uptime_seconds)],
  ];
  byId("facts").replaceChildren(...shown.map(([name, value]) => {
    const fact = element("div");
    fact.append(element("dt", "", name), element("dd", "", value));
    return fact;
  }));
  document.title = `vpt ${state.stage} ${state.run_id}`;
  const target = state.env_steps_target;
  byId("progress").hidden = !(target > 0);
  if (target > 0) {
    const done = Math.min(1, state.env_steps_trained / target);
    byId("progress-done").style.width = `${100 * done}%`;
    byId("progress-text").textContent = `${short(state.env_steps_trained)} of ${short(target)} steps`;
  }
}

function tile(name, value, unit = "", note = "", isBad = false) {
  const made = element("div", isBad ? "tile bad" : "tile");
  const figure = element("div", "value", value);
  if (unit) figure.append(" ", element("small", "", unit));
  made.append(element("div", "name", name), figure, element("div", "note", note));
  return made;
}

function tiles(state, newest) {
  const seen = newest?.values ?? {};
  const recorded = state.stage === "bc";
  const lost = Object.values(state.ledger.dropped).reduce((sum, steps) => sum + steps, 0);
  const made = [tile("trained on", short(seen["rate/trained"]), "frames/s", `${short(state.optimizer_steps)} optimiser steps`)];
  if (recorded) {
    made.push(tile("cloning loss", short(seen["losses/bc_loss"]), "nats"));
    made.push(tile("held out", short(seen["losses/validation_nll"]), "nats"));
  } else {
    const connected = `${state.actors_connected}`;
    const gone = state.actors_known - state.actors_connected;
    made.push(
      tile("played", short(seen["rate/produced"]), "frames/s", lost ? `${short(lost)} steps dropped` : "nothing dropped"),
      tile("mean return", short(seen["charts/episodic_return"]), "", `${short(state.episodes)} episodes`),
      tile("KL to the pretrained", short(seen["losses/kl_to_pretrained"]), "nats"),
      tile("staleness", short(state.staleness), "versions", `at most ${short(state.max_staleness)}`),
      tile("queue", `${state.queue.unrolls}`, `of ${state.queue.capacity}`, `${short(state.queue.bytes / 1e6)} MB`),
      tile("actors", connected, "", gone ? `${gone} gone` : "", state.actors_connected === 0),
    );
  }
  byId("tiles").replaceChildren(...made);
}

function verdict(state) {
  const { cause, evidence, hint } = state.verdict;
  const chain = state.stage === "bc" ? RECORDED_CHAIN : CHAIN;
  byId("chain").replaceChildren(...chain.map(([name, called]) => element("li", name === cause ? "blamed" : "", called)));
  byId("evidence").textContent = evidence.charAt(0).toUpperCase() + evidence.slice(1) + ".";
  byId("hint").textContent = `${hint}.`;
  const minute = chain.find(([name]) => name === state.verdict_minute.cause)?.[1] ?? "nothing yet";
  byId("minute").textContent = `Over the last minute: ${minute} (${state.verdict_minute.evidence}).`;
  const drawn = [];
  for (const [name, called, order] of state.accounts ? ACCOUNTS : []) {
    const shares = sharesOf(state.accounts[name], order);
    if (shares.length === 0) continue;
    const box = element("div");
    box.append(bar(shares), legend(shares.filter(([, share]) => share >= 0.005), percent));
    drawn.push(element("div", "", called), box);
  }
  byId("accounts").replaceChildren(...drawn);
}

function ledger(state) {
  const { produced, trained, dropped, in_flight: inFlight, imbalance } = state.ledger;
  const box = element("div", "ledger");
  const reasons = Object.entries(dropped).filter(([, steps]) => steps > 0).sort((a, b) => b[1] - a[1]);
  const parts = [["trained", trained, "c2"], ["in flight", inFlight, "c0"]]
    .concat(reasons.map(([reason, steps], index) => [`dropped: ${reason}`, steps, `c${[1, 3, 4, 6, 7, 5][index % 6]}`]));
  const isBalanced = imbalance === 0;
  const share = (steps) => steps / Math.max(1, produced);
  const table = element("table");
  for (const [name, steps, colour] of parts) {
    const line = element("tr");
    const called = element("td");
    called.append(element("span", `key ${colour}`, name.replaceAll("_", " ")));
    line.append(called, element("td", "right", steps.toLocaleString("en")), element("td", "right", `${(100 * share(steps)).toFixed(2)} %`));
    table.append(line);
  }
  const sum = element("p", "sum");
  sum.append(
    element("span", "number", `${produced.toLocaleString("en")} steps played`),
    element("span", isBalanced ? "balance" : "balance bad", isBalanced ? "the books balance" : `imbalance ${imbalance.toLocaleString("en")}`),
  );
  box.append(sum, bar(parts.map(([name, steps, colour]) => [name, share(steps), colour])), table);
  byId("ledger").replaceChildren(box);
}

/** Shows everything that is of the moment. */
export function show(state, newest) {
  document.body.classList.toggle("recorded", state.stage === "bc");
  facts(state);
  tiles(state, newest);
  verdict(state);
  ledger(state);
}
