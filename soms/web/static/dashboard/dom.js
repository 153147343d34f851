// Making elements. Text is only ever set as text; nothing here understands markup.
const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) if (value !== null && value !== undefined) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export const element = (name, attributes = {}, ...children) => filled(document.createElement(name), attributes, children);

export const drawn = (name, attributes = {}, ...children) => filled(document.createElementNS(SVG, name), attributes, children);

export function table(heads, rows) {
  const row = (cell, cells) => element("tr", {}, ...cells.map((one, index) => element(cell, { class: heads[index].kind }, one)));
  return element("table", {}, element("thead", {}, row("th", heads.map((head) => head.name))), element("tbody", {}, ...rows.map((cells) => row("td", cells))));
}

/** A bar that fills the share `of` (0 to 1) of its width. */
export function gauge(of) {
  const bar = element("i");
  bar.style.width = `${Math.max(0, Math.min(1, of || 0)) * 100}%`;
  return element("div", { class: "gauge", "aria-hidden": "true" }, bar);
}

const PICTURES = {
  empty: "M3 9.500 12 4l9 5.500v8L12 21l-9-3.500zM3 9.500l9 4 9-4M12 13.500V21",
  error: "M12 4 2.500 20h19zM12 10v4.500M12 17.200v.3",
  calm: "M4 12.500l5 5L20 6.500",
};

/** What stands where there is nothing to show, and why; `again` offers to try once more. */
export function blank(picture, text, again) {
  const path = drawn("path", { d: PICTURES[picture], fill: "none", stroke: "currentColor", "stroke-width": "1.4", "stroke-linejoin": "round", "stroke-linecap": "round" });
  const box = element("div", { class: "blank" }, drawn("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, path), element("p", {}, text));
  if (again) {
    const button = element("button", { type: "button" }, "Try again");
    button.addEventListener("click", again);
    box.append(button);
  }
  return box;
}

/**
 * Fills a panel with what `load` gives, as `draw` makes of it. What stood there stays until the new is there, and
 * an answer that comes after a later question's is dropped.
 */
export class Panel {
  constructor(id, draw) {
    this.box = $(id);
    this.draw = draw;
    this.turn = 0;
    this.good = false;
    this.box.replaceChildren(element("div", { class: "waiting" }));
  }

  async show(load, calm = false) {
    const turn = ++this.turn;
    if (!calm) this.box.classList.add("stale");
    try {
      const found = await load();
      if (turn !== this.turn) return;
      this.draw(this.box, found);
      this.good = true;
      this.box.classList.remove("stale");
    } catch (error) {
      if (turn !== this.turn) return;
      this.box.classList.toggle("stale", calm && this.good); // what was good a minute ago is better than nothing, but paler
      if (calm && this.good) return;
      this.good = false;
      this.box.replaceChildren(blank("error", error.told || "These figures are not available right now.", () => this.show(load)));
    }
  }
}
