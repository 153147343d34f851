// Numbers, money and times as people read them; and days in the time zone of the shop.
const COUNT = new Intl.NumberFormat();
const SHORT = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const PERCENT = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const MINUTE = 60_000;
const DAY = 86_400_000;

export let zone = "UTC";
export const setZone = (name) => { zone = name; };

export const count = (number) => COUNT.format(number);
export const things = (number, name) => `${COUNT.format(number)} ${name}${number === 1 ? "" : "s"}`;
export const short = (number) => SHORT.format(number);
export const percent = (share) => (share === null || share === undefined ? "–" : PERCENT.format(share));

const currencies = new Map();
function currency(code) {
  if (!currencies.has(code)) {
    const full = new Intl.NumberFormat(undefined, { style: "currency", currency: code, currencyDisplay: "narrowSymbol" });
    const compact = new Intl.NumberFormat(undefined, { style: "currency", currency: code, currencyDisplay: "narrowSymbol", notation: "compact", minimumFractionDigits: 0, maximumFractionDigits: 1 });
    currencies.set(code, { full, compact, unit: 10 ** full.resolvedOptions().maximumFractionDigits });
  }
  return currencies.get(code);
}

/** Minor units of one currency, such as £51.00. */
export const amount = (minor, code) => currency(code).full.format(minor / currency(code).unit);
export const shortAmount = (minor, code) => currency(code).compact.format(minor / currency(code).unit);

/** The sign of a currency, and an amount without it. */
export function split(minor, code) {
  const parts = currency(code).full.formatToParts(minor / currency(code).unit);
  const sign = parts.filter((part) => part.type === "currency").map((part) => part.value).join("");
  return [sign, parts.filter((part) => part.type !== "currency").map((part) => part.value).join("").trim()];
}

/** The currency with most in it; undefined where there is none. */
export const chief = (revenue) => Object.entries(revenue || {}).sort((one, other) => Math.abs(other[1]) - Math.abs(one[1]))[0]?.[0];

/** All currencies of a sum, the chief one first. */
export function money(revenue) {
  const codes = Object.keys(revenue || {}).sort((one, other) => Math.abs(revenue[other]) - Math.abs(revenue[one]));
  return codes.length ? codes.map((code) => amount(revenue[code], code)).join(" + ") : "–";
}

export function sum(revenues) {
  const total = {};
  for (const revenue of revenues) for (const [code, minor] of Object.entries(revenue)) total[code] = (total[code] || 0) + minor;
  return total;
}

const formats = new Map();
export function time(moment, options) {
  const key = zone + JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat(undefined, { timeZone: zone, ...options }));
  return formats.get(key).format(new Date(moment));
}
export const clock = (moment) => time(moment, { hour: "2-digit", minute: "2-digit" });
export const exact = (moment) => time(moment, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const day = (moment) => time(moment, { day: "numeric", month: "short" });
export const weekday = (moment) => time(moment, { weekday: "long" });

/** How long ago, in the largest unit that fits. */
export function ago(moment) {
  const seconds = Math.max(0, (Date.now() - new Date(moment)) / 1000);
  for (const [unit, size] of [["day", 86_400], ["hour", 3_600], ["minute", 60]])
    if (seconds >= size) return new Intl.RelativeTimeFormat(undefined, { style: "narrow" }).format(-Math.floor(seconds / size), unit);
  return "just now";
}

/** A span in its largest unit, such as 4 min. */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "";
  for (const [unit, size] of [["d", 86_400], ["h", 3_600], ["min", 60]])
    if (seconds >= size) return `${short(Math.round((seconds / size) * 10) / 10)} ${unit}`;
  return `${Math.round(seconds)} s`;
}

function calendar(moment) {
  const options = { timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" };
  const parts = new Intl.DateTimeFormat("en-US", options).formatToParts(new Date(moment));
  return Object.fromEntries(parts.map((part) => [part.type, Number(part.value)]));
}

function ahead(moment) {
  const at = calendar(moment);
  return Date.UTC(at.year, at.month - 1, at.day, at.hour, at.minute, at.second) - Math.floor(moment / 1000) * 1000;
}

/** The beginning of a day of the shop; days and months beyond their ends run over into the next. */
export function midnight(year, month, date) {
  const wall = Date.UTC(year, month - 1, date);
  const first = wall - ahead(wall);
  return wall - ahead(first);
}

/** The beginning of the day `days` after that of `moment`. */
export function dayStart(moment, days = 0) {
  const at = calendar(moment);
  return midnight(at.year, at.month, at.day + days);
}

export function monthStart(moment, months = 0) {
  const at = calendar(moment);
  return midnight(at.year, at.month + months, 1);
}

/** The date of a moment as date inputs want it. */
export function isoDate(moment) {
  const at = calendar(moment);
  return [at.year, at.month, at.day].map((part) => String(part).padStart(2, "0")).join("-");
}

export { DAY, MINUTE };
