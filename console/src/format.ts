/** How money, times, numbers and ids are written. */
import exponents from "./exponents.json";

const LOCALE = "en-GB";
// ISO 4217's own digits, as the server has them: browsers follow everyday use instead, which
// writes some currencies (IQD, LAK …) without decimals and would be wrong by a factor of 1,000.
const DIGITS = new Map(
  Object.entries(exponents).flatMap(([digits, codes]) =>
    codes.split(" ").map((code): [string, number] => [code, Number(digits)]),
  ),
);
// As the server writes them: signs that say which currency is meant.
const SIGNS: Record<string, string> = { EUR: "€", USD: "$", GBP: "£", JPY: "¥" };
const decimals = [0, 1, 2, 3, 4].map(
  (digits) =>
    new Intl.NumberFormat(LOCALE, { minimumFractionDigits: digits, maximumFractionDigits: digits }),
);

function written(value: number, digits: number, currency: string): string {
  return `${SIGNS[currency] ?? currency}\u00a0${decimals[digits]?.format(value) ?? value}`;
}

/** Minor units with the currency's own decimals: `€ 940.00`, `¥ 12,000`, `KWD 1.250`. */
export function money(minor: number, currency: string): string {
  const digits = DIGITS.get(currency) ?? 2;
  return written(minor / 10 ** digits, digits, currency);
}

/** Without decimals, for sums: `€ 41,280`. */
export function roundMoney(minor: number, currency: string): string {
  return written(minor / 10 ** (DIGITS.get(currency) ?? 2), 0, currency);
}

const whole = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 0 });

export function count(value: number): string {
  return whole.format(value);
}

/** `1 alert`, `1,204 alerts`. */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** A figure with a few digits that matter. */
export function figure(value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (Number.isInteger(value)) return whole.format(value);
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : size >= 0.01 ? 3 : 5;
  return value.toLocaleString(LOCALE, { maximumFractionDigits: digits });
}

export function signed(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
}

/** A share of 1 in per cent: `98.7 %`, `0.04 %`. */
export function percent(share: number): string {
  const value = share * 100;
  const size = Math.abs(value);
  const digits = size === 0 || size >= 99.95 ? 0 : size < 0.1 ? 2 : 1;
  return `${value.toFixed(digits)} %`;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** A length of time: `240 ms`, `12 s`, `4 min`, `3 h`, `2 d`. */
export function duration(ms: number): string {
  const size = Math.abs(ms);
  if (size < SECOND) return `${Math.round(size)} ms`;
  if (size < MINUTE) return `${Math.round(size / SECOND)} s`;
  if (size < HOUR) return `${Math.floor(size / MINUTE)} min`;
  if (size < DAY) return `${Math.floor(size / HOUR)} h`;
  return `${Math.floor(size / DAY)} d`;
}

export function relative(at: number, now: number): string {
  const since = now - at;
  if (Math.abs(since) < 5 * SECOND) return "now";
  return since > 0 ? `${duration(since)} ago` : `in ${duration(since)}`;
}

const exactTime = new Intl.DateTimeFormat(LOCALE, {
  dateStyle: "medium",
  timeStyle: "long",
});
const dayTime = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short" });
const clockTime = new Intl.DateTimeFormat(LOCALE, { timeStyle: "medium" });

export function exact(at: number): string {
  return exactTime.format(at);
}

export function day(at: number): string {
  return dayTime.format(at);
}

export function clock(at: number): string {
  return clockTime.format(at);
}

/** Long ids lose their middle: `k1_9f3a…77c01`. */
export function shortened(id: string, most = 16): string {
  if (id.length <= most) return id;
  const end = Math.floor((most - 1) / 2.4);
  return `${id.slice(0, most - 1 - end)}…${id.slice(-end)}`;
}

/** `card_velocity` as words: `card velocity`. */
export function words(name: string): string {
  return name.replaceAll("_", " ");
}

const regions = new Intl.DisplayNames("en", { type: "region", fallback: "code" });

/** `FR` as `France`. */
export function countryName(code: string): string {
  return /^[A-Z]{2}$/.test(code) ? (regions.of(code) ?? code) : code || "unknown";
}

const sizes = ["B", "kB", "MB", "GB"];

export function bytes(value: number): string {
  let size = value;
  let unit = 0;
  while (size >= 1000 && unit < sizes.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${figure(size)} ${sizes[unit]}`;
}
