// What is now: the stream of live figures, the tiles, the chart of the last hour, and how old all of it is.
import { Chart } from "./chart.js";
import { $ } from "./dom.js";
import { amount, chief, clock, count, dayStart, exact, money, shortAmount, short, span, split, sum, things, weekday, DAY } from "./format.js";
import { get, renewed } from "./session.js";

const QUIET_MILLISECONDS = 10_000;
const AWAY_MILLISECONDS = 30_000;
const BEHIND_SECONDS = 5;
const LONGEST_WAIT_MILLISECONDS = 15_000;

export class Live {
  /** `changed` is called with the figures whenever there are new ones. */
  constructor(changed) {
    this.changed = changed;
    this.chart = new Chart($("live"));
    this.wait = 500;
    this.heard = 0;
    this.asked = 0;
    this.figures = null;
    this.start = performance.now();
  }

  open() {
    this.connect();
    this.seen = () => this.look();
    document.addEventListener("visibilitychange", this.seen);
    this.pulse = setInterval(() => this.beat(), 1000);
    this.comparison = setInterval(() => this.compare(), 60_000);
    this.compare();
  }

  close() {
    this.closed = true;
    document.removeEventListener("visibilitychange", this.seen);
    clearInterval(this.pulse);
    clearInterval(this.comparison);
    clearTimeout(this.again);
    this.source?.close();
  }

  /** A page that nobody sees hangs up: browsers allow few connections at a time, and other tabs may want them. */
  look() {
    clearTimeout(this.again);
    if (document.hidden) { this.source.close(); return; }
    this.heard = 0;
    this.start = performance.now();
    this.connect();
    this.tell(false);
  }

  connect() {
    this.source?.close();
    this.source = new EventSource("/api/v1/analytics/stream");
    this.source.addEventListener("live", (event) => this.take(JSON.parse(event.data)));
    this.source.addEventListener("open", () => { this.wait = 500; });
    this.source.addEventListener("error", () => {
      if (this.source.readyState !== EventSource.CLOSED || this.closed) return;
      // the browser has given up, as after a refusal: the token may have ended, or nobody be there
      this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MILLISECONDS);
      this.again = setTimeout(async () => {
        await renewed().catch(() => null);
        if (!this.closed && !document.hidden) this.connect();
      }, this.wait);
    });
  }

  /** Once a second: tells how old things are, and asks where the stream says nothing, which it does when nothing happens. */
  beat() {
    if (document.hidden) return;
    const now = performance.now();
    if (now - Math.max(this.heard, this.asked) > QUIET_MILLISECONDS) {
      this.asked = now;
      get("/analytics/live").then((figures) => this.take(figures)).catch(() => {});
    }
    this.tell(now - (this.heard || this.start) > AWAY_MILLISECONDS);
  }

  tell(away) {
    const figures = this.figures;
    const behind = figures && figures.lag_seconds > BEHIND_SECONDS;
    const state = away ? "away" : !figures || !this.heard ? "connecting" : behind ? "behind" : "live";
    const word = { away: "No connection", connecting: "Connecting", behind: `${span(figures?.lag_seconds)} behind`, live: "Live" }[state];
    $("state-word").textContent = word;
    $("state-more").textContent = figures ? `${away || behind ? "figures of" : "as of"} ${exact(figures.as_of)}` : "";
    if (this.state !== state) $("told").textContent = state === "live" ? "The figures are live." : word;
    this.state = $("state").dataset.state = state;
  }

  take(figures) {
    if (this.closed || (this.figures && figures.as_of < this.figures.as_of)) return;
    this.heard = performance.now();
    this.figures = figures;
    this.tell(false);
    this.tiles(figures.totals);
    this.plot(figures.windows);
    this.changed(figures);
  }

  tiles({ last_minute, last_hour, today }) {
    for (const [name, window] of Object.entries({ last_minute, last_hour, today })) {
      put(`orders_${name}`, count(window.orders));
      $(`word-${name}`).textContent = window.orders === 1 ? "order" : "orders";
    }
    const code = chief(today.revenue);
    const [sign, number] = code ? split(today.revenue[code], code) : ["", "0"];
    $("revenue-currency").textContent = sign;
    put("revenue_today", number);
    for (const [name, window] of Object.entries({ last_minute, last_hour })) $(`beside-${name}`).textContent = beside(window);
    this.against(today);
  }

  async compare() {
    const now = Date.now();
    const start = dayStart(now, -7);
    const end = start + (now - dayStart(now));
    try {
      this.then = await get("/analytics/overview", { from: new Date(start).toISOString(), to: new Date(end).toISOString() });
      this.day = weekday(start + DAY / 2);
    } catch {
      this.then = null;
    }
    if (this.figures) this.against(this.figures.totals.today);
  }

  against(today) {
    const code = chief(today.revenue) || chief(this.then?.revenue);
    const others = Object.entries(today.revenue).filter(([one]) => one !== code).map(([one, minor]) => amount(minor, one));
    difference($("beside-orders"), today.orders, this.then?.orders, this.day);
    difference($("beside-revenue"), today.revenue[code] || 0, this.then?.revenue[code] ?? (this.then && 0), this.day);
    if (others.length) $("beside-revenue").prepend(`+ ${others.join(" + ")} · `);
  }

  plot(windows) {
    const code = chief(sum(windows.map((window) => window.revenue)));
    const revenue = windows.map((window) => (code && window.revenue[code]) || 0);
    const orders = windows.map((window) => window.orders);
    const total = orders.reduce((all, one) => all + one, 0);
    this.chart.show({
      title: `Orders and revenue by minute in the last hour: ${count(total)} orders, ${money(sum(windows.map((window) => window.revenue)))}.`,
      labels: windows.map((window) => clock(window.start)),
      axis: windows.map((window) => (new Date(window.start).getUTCMinutes() % 10 ? "" : clock(window.start))),
      panels: [
        { name: "Orders", tone: "orders", kind: "bars", values: orders, told: orders.map(count), scale: short, height: 120, least: 3 },
        { name: code ? `Revenue, ${code}` : "Revenue", tone: "revenue", kind: "area", values: revenue, told: windows.map((window) => money(window.revenue)), scale: (mark) => (code ? shortAmount(mark, code) : ""), height: 84, least: 1 },
      ],
    });
  }
}

function put(name, text) {
  const place = document.querySelector(`[data-metric="${name}"]`);
  if (place.textContent === text) return;
  const first = place.textContent === "–";
  place.textContent = text;
  place.classList.remove("changed");
  if (!first) { void place.offsetWidth; place.classList.add("changed"); }
}

function beside(window) {
  const gone = window.cancelled ? ` · ${count(window.cancelled)} cancelled` : "";
  return window.orders || window.cancelled ? `${money(window.revenue)} · ${things(window.units, "unit")}${gone}` : "nothing yet";
}

function difference(place, now, then, day) {
  if (then === undefined || then === null) { place.textContent = "\u00a0"; return; }
  if (!then) { place.textContent = `none by now last ${day}`; return; }
  const change = (now - then) / Math.abs(then);
  const mark = document.createElement("span");
  if (Math.round(change * 100) === 0) { place.textContent = `as last ${day} by now`; return; }
  mark.className = change < 0 ? "down" : "up";
  mark.textContent = `${change < 0 ? "▼" : "▲"} ${Math.abs(change) > 9.99 ? `×${short(now / then)}` : `${Math.round(Math.abs(change) * 100)} %`}`;
  mark.setAttribute("role", "img");
  mark.setAttribute("aria-label", `${change < 0 ? "down" : "up"} ${Math.round(Math.abs(change) * 100)} percent`);
  place.replaceChildren(mark, ` against last ${day} by now`);
}
