// The newest orders and findings, looked up again when the live figures say that something happened.
import { Panel, blank, element, table } from "./dom.js";
import { ago, amount, clock, count, time } from "./format.js";
import { get } from "./session.js";

const ORDERS = 10;
const SOON_MILLISECONDS = 700;
const REFRESH_MILLISECONDS = 30_000;

export class Lists {
  constructor() {
    this.seen = null;
    this.orders = new Panel("orders", (box, found) => this.drawOrders(box, found.items));
    this.findings = new Panel("findings", (box, found) => drawFindings(box, found.items));
  }

  open() {
    this.timer = setInterval(() => { if (!document.hidden) this.show(true); }, REFRESH_MILLISECONDS);
    this.show();
  }

  close() {
    clearInterval(this.timer);
    clearTimeout(this.soon);
  }

  show(calm = false) {
    this.orders.show(() => get("/orders", { limit: ORDERS }), calm);
    this.findings.show(() => get("/analytics/findings", { limit: 20 }), calm);
  }

  /** Looks the newest orders up, soon and once for several changes. */
  changed({ totals: { today, last_hour } }) {
    const mark = JSON.stringify([today, last_hour.orders]);
    if (mark === this.mark) return;
    this.mark = mark;
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.orders.show(() => get("/orders", { limit: ORDERS }), true), SOON_MILLISECONDS);
  }

  drawOrders(box, items) {
    if (!items.length) { box.replaceChildren(blank("empty", "No orders yet. The first one shows up here by itself.")); return; }
    const heads = [{ name: "Order" }, { name: "Placed" }, { name: "Customer", kind: "long spare" }, { name: "What", kind: "long spare" }, { name: "Status" }, { name: "Total", kind: "number" }];
    const made = table(heads, items.map((order) => [order.number, when(order.created_at), order.email || "–", what(order.lines), element("span", { class: "chip", "data-status": order.status }, order.status), amount(order.total, order.currency)]));
    const known = this.seen;
    items.forEach((order, index) => { if (known && !known.has(order.id)) for (const cell of made.tBodies[0].rows[index].cells) cell.classList.add("fresh"); });
    this.seen = new Set(items.map((order) => order.id));
    box.replaceChildren(element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Newest orders" }, made));
  }
}

function when(moment) {
  const made = element("time", { datetime: moment, title: time(moment, { dateStyle: "full", timeStyle: "medium" }) }, Date.now() - new Date(moment) < 86_400_000 ? clock(moment) : ago(moment));
  return made;
}

function what(lines) {
  const units = lines.reduce((total, line) => total + line.quantity, 0);
  const first = lines[0] ? lines[0].name : "";
  return `${count(units)} × ${first}${lines.length > 1 ? ` and ${count(lines.length - 1)} more` : ""}`;
}

function drawFindings(box, items) {
  if (!items.length) { box.replaceChildren(blank("calm", "All as usual. Hours unlike those of other weeks are told here.")); return; }
  const item = (one) => {
    const more = one.actual >= one.expected;
    const mark = element("span", { class: "odd", role: "img", "aria-label": more ? "more than usual" : "less than usual" }, more ? "▲" : "▼");
    return element("li", {}, mark, element("div", {}, element("div", {}, one.message), element("time", { class: "quiet", datetime: one.start }, `${ago(one.start)} · ${time(one.start, { weekday: "short", hour: "2-digit", minute: "2-digit" })}`)));
  };
  box.replaceChildren(element("ul", { class: "findings", tabindex: "0", "aria-label": "Findings" }, ...items.map(item)));
}
