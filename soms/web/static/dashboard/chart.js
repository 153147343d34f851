// One chart: panels above one another that share their time axis, with a cursor for pointers, fingers and arrow keys, and a table for readers.
import { drawn, element, table } from "./dom.js";

const TOP = 26;
const BELOW = 22;
const BETWEEN = 14;
const SCALE = 46;

/** Round numbers from zero (or below) to at least the extremes. */
function ticks(low, high) {
  const reach = Math.max(high, 0) - Math.min(low, 0) || 1;
  const rough = reach / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let value = Math.floor(Math.min(low, 0) / step) * step; found.length < 9; value += step) {
    found.push(value);
    if (value >= high) break;
  }
  return found;
}

function bars(panel, place, width) {
  const wide = Math.max(1, Math.min(34, width * 0.72));
  const base = place.y(0);
  const group = drawn("g", { class: `bars ${panel.tone}` });
  panel.values.forEach((value, index) => {
    if (!value) return;
    const [left, top] = [place.x(index) - wide / 2, place.y(value)];
    const round = Math.min(wide / 2, 3, Math.abs(base - top));
    const turn = value > 0 ? round : -round;
    group.append(drawn("path", { d: `M${left} ${base}V${top + turn}q0 ${-turn} ${round} ${-turn}h${wide - 2 * round}q${round} 0 ${round} ${turn}V${base}z` }));
  });
  return group;
}

function area(panel, place) {
  const points = panel.values.map((value, index) => `${place.x(index).toFixed(1)} ${place.y(value).toFixed(1)}`);
  const [first, last, base] = [place.x(0), place.x(points.length - 1), place.y(0)];
  return drawn("g", { class: panel.tone }, drawn("path", { class: "under", d: `M${first} ${base}L${points.join("L")}L${last} ${base}z` }), drawn("path", { class: "line", d: `M${points.join("L")}` }));
}

export class Chart {
  constructor(box) {
    this.box = box;
    this.tip = element("div", { class: "tip", hidden: "" });
    this.words = element("p", { class: "unseen", "aria-live": "polite" });
    this.rows = element("div", { class: "scroll" });
    this.list = element("details", { class: "table" }, element("summary", {}, "As a table"), this.rows);
    this.list.addEventListener("toggle", () => this.tabulate());
    this.at = null;
    new ResizeObserver(() => this.draw()).observe(box);
  }

  /** `data`: a `title`, the `labels` of the points, in full and for the axis, and `panels` of `{name, tone, kind, values, told, scale, height}`. */
  show(data) {
    this.data = data;
    if (this.at !== null && this.at >= data.labels.length) this.at = null;
    this.draw();
    this.tabulate();
  }

  draw() {
    const width = Math.floor(this.box.clientWidth);
    if (!this.data || width < 40 || !this.data.labels.length) return;
    const focused = this.svg && this.svg === document.activeElement;
    this.right = width - SCALE;
    const step = this.right / this.data.labels.length;
    this.x = (index) => step * (index + 0.5);
    this.step = step;
    this.width = width;
    const height = this.data.panels.reduce((total, panel) => total + panel.height + TOP, 0) + BELOW + BETWEEN * (this.data.panels.length - 1);
    const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", tabindex: "0", "aria-label": `${this.data.title} Use the arrow keys to go through the values.` });
    let top = 0;
    this.places = this.data.panels.map((panel) => {
      const place = this.panel(svg, panel, top);
      top += panel.height + TOP + BETWEEN;
      return place;
    });
    this.axis(svg, height);
    this.marks = drawn("g");
    svg.append(this.marks);
    this.listen(svg);
    this.svg = svg;
    this.box.replaceChildren(svg, this.tip, this.words, this.list);
    if (focused) svg.focus();
    this.point(this.at, false);
  }

  panel(svg, panel, top) {
    const marks = ticks(Math.min(...panel.values), Math.max(...panel.values, panel.least || 0));
    const [low, high] = [marks[0], marks[marks.length - 1]];
    const y = (value) => top + TOP + panel.height * (1 - (value - low) / (high - low));
    const place = { x: this.x, y };
    svg.append(drawn("text", { class: "name", x: 0, y: top + 12 }, panel.name));
    for (const mark of marks) {
      const line = Math.round(y(mark)) + 0.5;
      svg.append(drawn("line", { class: "grid", x1: 0, x2: this.right, y1: line, y2: line }));
      svg.append(drawn("text", { x: this.width, y: line + 3.5, "text-anchor": "end" }, panel.scale(mark)));
    }
    svg.append(panel.kind === "bars" ? bars(panel, place, this.step) : area(panel, place));
    return place;
  }

  axis(svg, height) {
    const { axis } = this.data;
    const every = Math.max(1, Math.ceil((axis.reduce((most, text) => Math.max(most, text.length), 0) * 7 + 16) / this.step));
    let past = -Infinity;
    axis.forEach((text, index) => {
      if (!text || index - past < every) return;
      const half = text.length * 3.2;
      const x = Math.max(half, Math.min(this.width - half, this.x(index)));
      svg.append(drawn("text", { x, y: height - 5, "text-anchor": "middle" }, text));
      past = index;
    });
  }

  listen(svg) {
    const nearest = (event) => {
      const place = svg.getBoundingClientRect();
      const index = Math.floor((event.clientX - place.left) / this.step);
      this.point(Math.max(0, Math.min(this.data.labels.length - 1, index)), false);
    };
    svg.addEventListener("pointermove", nearest);
    svg.addEventListener("pointerdown", nearest);
    svg.addEventListener("pointerleave", () => this.point(null, false));
    svg.addEventListener("blur", () => this.point(null, false));
    svg.addEventListener("keydown", (event) => {
      const last = this.data.labels.length - 1;
      const from = this.at ?? last + (event.key === "ArrowLeft" ? 1 : 0);
      const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last }[event.key];
      if (event.key === "Escape") this.point(null, false);
      if (to === undefined) return;
      event.preventDefault();
      this.point(Math.max(0, Math.min(last, to)), true);
    });
  }

  point(index, aloud) {
    this.at = index;
    this.marks.replaceChildren();
    this.tip.hidden = index === null;
    if (index === null) return;
    const [x, { labels, panels }] = [this.x(index), this.data];
    const bottom = this.svg.viewBox.baseVal.height - BELOW;
    this.marks.append(drawn("line", { class: "cursor", x1: x, x2: x, y1: TOP, y2: bottom }));
    panels.forEach((panel, number) => {
      if (panel.kind !== "bars") this.marks.append(drawn("g", { class: panel.tone }, drawn("circle", { class: "knob", cx: x, cy: this.places[number].y(panel.values[index]), r: 4.5 })));
    });
    const lines = panels.map((panel) => element("div", {}, element("span", {}, panel.name), element("span", {}, panel.told[index])));
    this.tip.replaceChildren(element("b", {}, labels[index]), ...lines);
    const room = this.tip.offsetWidth + 14;
    this.tip.style.transform = `translate(${x + room < this.width ? x + 14 : Math.max(0, x - room)}px, ${TOP}px)`;
    if (aloud) this.words.textContent = `${labels[index]}: ${panels.map((panel) => `${panel.name} ${panel.told[index]}`).join(", ")}`;
  }

  tabulate() {
    if (!this.list.open || !this.data) return;
    const heads = [{ name: "When" }, ...this.data.panels.map((panel) => ({ name: panel.name, kind: "number" }))];
    const rows = this.data.labels.map((label, index) => [label, ...this.data.panels.map((panel) => panel.told[index])]);
    this.rows.replaceChildren(table(heads, rows.reverse()));
  }
}
