// What was: a range that is picked, and all panels that show it.
import { Chart } from "./chart.js";
import { $, Panel, blank, element, gauge } from "./dom.js";
import { amount, chief, clock, count, day, dayStart, isoDate, midnight, money, monthStart, percent, short, shortAmount, span, sum, things, time, zone, DAY } from "./format.js";
import { get } from "./session.js";

const REFRESH_MILLISECONDS = 60_000;
const NAMES = { today: "today", week: "last 7 days", month: "last 30 days", quarter: "last 90 days", year: "last 12 months" };
const regions = new Intl.DisplayNames(undefined, { type: "region", fallback: "code" });
const NOTHING = "No orders in this range.";

export class History {
  constructor() {
    this.form = $("range");
    this.chart = new Chart($("history"));
    this.panels = {
      overview: new Panel("overview", drawOverview),
      history: new Panel("history", (box, found) => this.plot(box, found)),
      products: new Panel("products", drawProducts),
      countries: new Panel("countries", drawCountries),
      funnel: new Panel("funnel", drawFunnel),
    };
  }

  open() {
    const now = Date.now();
    this.form.first.value = isoDate(dayStart(now, -13));
    this.form.last.value = isoDate(now);
    this.form.addEventListener("change", () => this.show());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.timer = setInterval(() => { if (!document.hidden && this.current) this.show(true); }, REFRESH_MILLISECONDS);
    this.show();
  }

  close() {
    clearInterval(this.timer);
  }

  /** The range that is picked: its ends, how it is cut, and what it is called; null while it makes no sense. */
  range() {
    const now = Date.now();
    const picked = this.form.elements.range.value;
    $("dates").hidden = picked !== "custom";
    if (picked !== "custom") {
      const from = { today: () => dayStart(now), week: () => dayStart(now, -6), month: () => dayStart(now, -29), quarter: () => dayStart(now, -89), year: () => monthStart(now, -11) }[picked]();
      return { from, to: now, interval: { today: "hour", year: "month" }[picked] || "day", name: NAMES[picked] };
    }
    const [first, last] = [this.form.first, this.form.last].map((input) => input.value.split("-").map(Number));
    if (first.length !== 3 || last.length !== 3) return null;
    const [from, to] = [midnight(...first), midnight(last[0], last[1], last[2] + 1)];
    this.form.last.setCustomValidity(to > from ? "" : "The range ends before it begins.");
    if (to <= from) { this.form.last.reportValidity(); return null; }
    const days = (to - from) / DAY;
    const interval = days <= 2.1 ? "hour" : days <= 100 ? "day" : days <= 730 ? "week" : "month";
    return { from, to, interval, name: `${day(from)} to ${day(to - 1)}` };
  }

  show(calm = false) {
    const range = this.range();
    if (!range) return;
    this.current = range.to >= Date.now() - REFRESH_MILLISECONDS;
    this.interval = range.interval;
    for (const place of document.querySelectorAll(".range-name")) place.textContent = range.name;
    const asked = { from: new Date(range.from).toISOString(), to: new Date(range.to).toISOString() };
    const { overview, history, products, countries, funnel } = this.panels;
    overview.show(() => get("/analytics/overview", asked), calm);
    history.show(() => get("/analytics/summary", { ...asked, interval: range.interval, time_zone: zone }), calm);
    products.show(() => get("/analytics/top-products", { ...asked, limit: 8 }), calm);
    countries.show(() => get("/analytics/summary", { ...asked, interval: "month", by: "country", time_zone: zone }), calm);
    funnel.show(() => get("/analytics/funnel", asked), calm);
  }

  plot(box, { items }) {
    if (!items.some((row) => row.orders)) { box.replaceChildren(blank("empty", NOTHING)); return; }
    const code = chief(sum(items.map((row) => row.revenue)));
    const full = { hour: (at) => time(at, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }), day: (at) => time(at, { weekday: "long", day: "numeric", month: "long" }), week: (at) => `Week of ${time(at, { day: "numeric", month: "long", year: "numeric" })}`, month: (at) => time(at, { month: "long", year: "numeric" }) }[this.interval];
    const brief = { hour: clock, day, week: day, month: (at) => time(at, { month: "short" }) }[this.interval];
    this.chart.show({
      title: `Revenue and orders of the range: ${count(items.reduce((all, row) => all + row.orders, 0))} orders, ${money(sum(items.map((row) => row.revenue)))}.`,
      labels: items.map((row) => full(row.start)),
      axis: items.map((row) => brief(row.start)),
      panels: [
        { name: code ? `Revenue, ${code}` : "Revenue", tone: "revenue", kind: items.length > 1 ? "area" : "bars", values: items.map((row) => (code && row.revenue[code]) || 0), told: items.map((row) => money(row.revenue)), scale: (mark) => (code ? shortAmount(mark, code) : ""), height: 150, least: 1 },
        { name: "Orders", tone: "orders", kind: "bars", values: items.map((row) => row.orders), told: items.map((row) => `${count(row.orders)}${row.cancelled + row.returned ? `, ${count(row.cancelled + row.returned)} undone` : ""}`), scale: short, height: 90, least: 3 },
      ],
    });
  }
}

function drawOverview(box, found) {
  const fact = (name, value, more = "") => element("div", {}, element("dt", {}, name), element("dd", {}, value, element("small", {}, more)));
  const code = chief(found.revenue);
  const others = Object.keys(found.revenue).filter((one) => one !== code);
  const rest = (sums) => others.map((one) => amount(sums[one] || 0, one)).join(" + ");
  box.replaceChildren(
    fact("Revenue", code ? amount(found.revenue[code], code) : "–", rest(found.revenue)),
    fact("Orders", count(found.orders), things(found.units, "unit")),
    fact("Average order", code && found.average_order_value[code] !== undefined ? amount(found.average_order_value[code], code) : "–", rest(found.average_order_value)),
    fact("Cancelled", percent(found.cancellation_rate), "of orders"),
    fact("Returned", percent(found.return_rate), "of orders"),
    fact("New customers", count(found.new_customers), `${count(found.returning_customers)} came back`),
  );
}

function ranking(box, rows) {
  if (!rows.length) { box.replaceChildren(blank("empty", NOTHING)); return; }
  const most = Math.max(...rows.map((row) => row.size), 1);
  const item = (row) => element("li", {}, element("span", { class: "name", title: row.name }, row.name), element("span", {}, row.figure), gauge(row.size / most), element("span", { class: "more" }, element("span", {}, row.left), element("span", {}, row.right)));
  box.replaceChildren(element("ol", { class: "ranked revenue" }, ...rows.map(item)));
}

const only = (revenue, code) => (code in revenue ? { [code]: revenue[code] } : {});

function besides(revenue, code) {
  const others = Object.entries(revenue).filter(([one, minor]) => one !== code && minor);
  return others.map(([one, minor]) => `+ ${amount(minor, one)} · `).join("");
}

function drawProducts(box, { items }) {
  const code = chief(sum(items.map((one) => one.revenue)));
  ranking(box, items.map((one) => ({ name: one.name || one.sku, size: (code && one.revenue[code]) || 0, figure: money(only(one.revenue, code)), left: one.sku, right: `${besides(one.revenue, code)}${things(one.units, "unit")}` })));
}

function drawCountries(box, { items }) {
  const countries = new Map();
  for (const row of items) countries.set(row.key, [...(countries.get(row.key) || []), row]);
  const all = items.reduce((total, row) => total + row.orders, 0) || 1;
  const code = chief(sum(items.map((row) => row.revenue)));
  const rows = [...countries].map(([key, some]) => {
    const [revenue, orders] = [sum(some.map((row) => row.revenue)), some.reduce((total, row) => total + row.orders, 0)];
    return { name: region(key), size: (code && revenue[code]) || 0, figure: money(only(revenue, code)), left: things(orders, "order"), right: `${besides(revenue, code)}${percent(orders / all)}` };
  });
  rows.sort((one, other) => other.size - one.size);
  ranking(box, rows.slice(0, 8));
}

function region(key) {
  if (!key) return "Not said";
  try { return regions.of(key) || key; } catch { return key; }
}

function drawFunnel(box, found) {
  if (!found.placed) { box.replaceChildren(blank("empty", NOTHING)); return; }
  const step = (name, key, before) => {
    const usual = span(found.median_seconds[key]);
    return element("li", {}, element("span", { class: "name" }, name), element("span", {}, count(found[key])), gauge(found[key] / found.placed), element("span", { class: "more" }, element("span", {}, usual ? `${usual} after ${before}` : ""), element("span", {}, percent(found[key] / found.placed))));
  };
  const chip = (status) => element("span", { class: "chip", "data-status": status }, `${count(found[status])} ${status}`);
  box.replaceChildren(
    element("ol", { class: "ranked steps orders" }, step("Placed", "placed"), step("Paid", "paid", "placing"), step("Shipped", "shipped", "payment"), step("Delivered", "delivered", "shipping")),
    element("div", { class: "chips" }, chip("cancelled"), chip("returned")),
  );
}
