// Line plots as SVG: what is drawn is a window of points, each a time and a value a series.
"use strict";

const SPACE = "http://www.w3.org/2000/svg";
const WIDTH = 400;
const HEIGHT = 150;
const LEFT = 44;
const BOTTOM = 18;
const TOP = 8;

/** An element with classes and text; text is never markup. */
export function element(tag, classes = "", text = "") {
  const made = document.createElement(tag);
  if (classes) made.className = classes;
  if (text !== "") made.textContent = text;
  return made;
}

/** An SVG element with attributes. */
export function shape(tag, attributes) {
  const made = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** A number as people write it: four digits, thousands as k, M, G. */
export function short(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  for (const [unit, letter] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (size >= unit) return (value / (unit === 1e4 ? 1e3 : unit)).toPrecision(3) + " " + letter;
  }
  if (size >= 100) return Math.round(value).toLocaleString("en");
  if (size === 0) return "0";
  if (size < 0.001) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}

/** Round numbers between `low` and `high`, about `count` of them. */
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  const found = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step / 1e6; tick += step) {
    found.push(Math.abs(tick) < step / 1e6 ? 0 : tick);
  }
  return found;
}

/** What the values span, with room around; a range of their own for those that do not change. */
function span(values, least) {
  let low = Math.min(...values, ...(least === undefined ? [] : [least]));
  let high = Math.max(...values);
  if (high - low < 1e-9 * Math.max(1, Math.abs(high))) {
    const room = Math.abs(high) / 2 || 1;
    if (least === undefined) low -= room;
    high += room;
  }
  const room = 0.06 * (high - low);
  return [low === least ? low : low - room, high + room];
}

/** A plot with a title, its curves `[name of the series, what it is called]`, and a lowest value for the axis. */
export class Plot {
  constructor(title, curves, least) {
    this.curves = curves;
    this.least = least;
    this.node = element("figure", "plot");
    this.node.style.margin = "0";
    this.node.append(element("h3", "", title));
    this.svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.svg.setAttribute("aria-label", title);
    this.legend = element("div", "legend");
    this.node.append(this.svg, this.legend);
    this.pointed = null;
    this.svg.addEventListener("mousemove", (event) => {
      const box = this.svg.getBoundingClientRect();
      this.pointed = ((event.clientX - box.left) / box.width) * WIDTH;
      this.redraw();
    });
    this.svg.addEventListener("mouseleave", () => {
      this.pointed = null;
      this.redraw();
    });
  }

  /** Draws `{times, series}`; curves may be given anew where they are not known beforehand. */
  draw(data, curves = this.curves) {
    this.curves = curves;
    this.data = data;
    this.redraw();
  }

  redraw() {
    if (!this.data) return;
    // The box as it is on the screen, so that letters keep their shape.
    const box = this.svg.getBoundingClientRect();
    this.width = Math.max(160, Math.round(box.width) || WIDTH);
    this.height = Math.max(80, Math.round(box.height) || HEIGHT);
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.svg.replaceChildren();
    const { times, series } = this.data;
    const there = this.curves.filter(([name]) => series[name]?.some((value) => value !== null));
    const values = there.flatMap(([name]) => series[name].filter((value) => value !== null));
    if (values.length === 0) {
      const nothing = shape("text", { x: this.width / 2, y: this.height / 2, class: "empty" });
      nothing.textContent = "nothing yet";
      this.svg.append(nothing);
      this.explain(there, null);
      return;
    }
    const [low, high] = span(values, this.least);
    const first = times[0];
    const last = Math.max(times[times.length - 1], first + 1);
    const x = (time) => LEFT + ((time - first) / (last - first)) * (this.width - LEFT - 6);
    const y = (value) => TOP + (1 - (value - low) / (high - low)) * (this.height - TOP - BOTTOM);
    this.axes(low, high, y, last - first);
    for (const [name, , colour] of there) this.curve(times, series[name], x, y, colour ?? 0);
    this.explain(there, this.mark(times, x));
  }

  axes(low, high, y, seconds) {
    for (const tick of ticks(low, high, 4)) {
      this.svg.append(shape("line", { class: "grid", x1: LEFT, x2: this.width - 6, y1: y(tick), y2: y(tick) }));
      const label = shape("text", { class: "tick", x: LEFT - 6, y: y(tick) + 3.5, "text-anchor": "end" });
      label.textContent = short(tick);
      this.svg.append(label);
    }
    const ends = [[LEFT, "start", `${duration(seconds)} ago`], [this.width - 6, "end", "now"]];
    for (const [x, anchor, text] of ends) {
      const label = shape("text", { class: "tick", x, y: this.height - 4, "text-anchor": anchor });
      label.textContent = text;
      this.svg.append(label);
    }
  }

  curve(times, values, x, y, colour) {
    let path = "";
    let open = false;
    values.forEach((value, index) => {
      if (value === null) {
        open = false;
        return;
      }
      path += `${open ? "L" : "M"}${x(times[index]).toFixed(1)} ${y(value).toFixed(1)}`;
      open = true;
    });
    this.svg.append(shape("path", { class: `curve c${colour}`, d: path }));
  }

  /** The point that the pointer is at, marked; its number. */
  mark(times, x) {
    if (this.pointed === null) return null;
    const pointed = (this.pointed / WIDTH) * this.width;
    let nearest = 0;
    times.forEach((time, index) => {
      if (Math.abs(x(time) - pointed) < Math.abs(x(times[nearest]) - pointed)) nearest = index;
    });
    const at = x(times[nearest]);
    this.svg.append(shape("line", { class: "cursor", x1: at, x2: at, y1: TOP, y2: this.height - BOTTOM }));
    return nearest;
  }

  explain(there, pointed) {
    const { times, series } = this.data;
    this.legend.replaceChildren();
    for (const [name, called, colour] of there) {
      const values = series[name];
      const latest = values.findLast((value) => value !== null);
      const key = element("span", `key c${colour ?? 0}`, `${called} `);
      key.append(element("b", "", short(pointed === null ? latest : values[pointed])));
      this.legend.append(key);
    }
    if (pointed !== null) {
      this.legend.append(element("span", "", `${duration(times[times.length - 1] - times[pointed])} ago`));
    }
  }
}

/** Seconds in words. */
export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${(seconds / 86400).toFixed(1)} days`;
}
