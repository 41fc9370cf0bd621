// Numbers and times as people read them. What is undefined (null, NaN, "NaN") is a dash, never 0.
import { h } from "preact";

/** Stands for what is undefined. */
export const NONE = "–";

const finite = (value) =>
  value === null || value === undefined || value === "" || typeof value === "boolean" || !Number.isFinite(Number(value))
    ? null
    : Number(value);

const decimals = (value, digits) => value.toLocaleString("en-US", { maximumSignificantDigits: digits });

/** A number of any size with so many significant digits: 0.0123, 12,400, 1.2e-7. */
export const number = (value, digits = 3) => {
  const known = finite(value);
  if (known === null) return NONE;
  const size = Math.abs(known);
  if (size !== 0 && (size < 1e-4 || size >= 1e9))
    return known.toExponential(Math.max(digits - 1, 0)).replace("e+", "e");
  return decimals(known, Math.max(digits, size >= 1 ? Math.ceil(Math.log10(size + 1)) : 1));
};

/** A ratio in percent: 0.1234 is "12.3 %"; what is little is not rounded to nothing. */
export const percent = (ratio, digits = 1) => {
  const known = finite(ratio);
  if (known === null) return NONE;
  const least = 10 ** -digits;
  const hundredfold = known * 100;
  if (hundredfold !== 0 && Math.abs(hundredfold) < least / 2) return `${hundredfold < 0 ? "> −" : "< "}${least} %`;
  return `${hundredfold.toLocaleString("en-US", { maximumFractionDigits: digits })} %`;
};

/** Whole things: 12,400. */
export const count = (value) => {
  const known = finite(value);
  return known === null ? NONE : Math.round(known).toLocaleString("en-US");
};

const UNITS = [
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
];

/** A length of time: "0.42 ms", "120 ms", "3.5 s", "12 min", "2.5 h", "3 d". */
export const seconds = (value) => {
  const known = finite(value);
  if (known === null) return NONE;
  const size = Math.abs(known);
  const [unit, word] = UNITS.find(([least]) => size >= 2 * least) ?? [1, "s"];
  if (unit > 1) return `${decimals(known / unit, size / unit >= 100 ? 3 : 2)} ${word}`;
  return size >= 1 || size === 0 ? `${decimals(known, 3)} s` : `${decimals(known * 1e3, 3)} ms`;
};

/** Bytes: "512 B", "1.2 MiB". */
export const bytes = (value) => {
  const known = finite(value);
  if (known === null) return NONE;
  const power = Math.min(Math.floor(Math.log2(Math.max(known, 1)) / 10), 4);
  return `${decimals(known / 1024 ** power, 3)} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`;
};

/** Unix seconds of what documents hold as a time: seconds, or ISO 8601; null of anything else. */
export const unix = (value) => {
  const known = finite(value);
  if (known !== null) return known;
  const parsed = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isNaN(parsed) ? null : parsed / 1e3;
};

const MINUTE = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const DAY = { month: "short", day: "numeric" };

/** A time as text, local: "14:03:12" today, "Nov 3, 14:03" before. */
export const clock = (value) => {
  const known = unix(value);
  if (known === null) return NONE;
  const at = new Date(known * 1e3);
  const today = at.toDateString() === new Date().toDateString();
  return at.toLocaleString("en-US", today ? { ...MINUTE, second: "2-digit" } : { ...DAY, ...MINUTE });
};

/** A time as an element, `<time>`: local, UTC in its title. For text alone see `clock`. */
export const moment = (value) => {
  const known = unix(value);
  if (known === null) return NONE;
  const utc = new Date(known * 1e3).toISOString();
  return h("time", { dateTime: utc, title: `${utc.slice(0, 19).replace("T", " ")} UTC` }, clock(known));
};

/** How long ago, as text: "12 s ago", "in 3 h". */
export const ago = (value, nowS = Date.now() / 1e3) => {
  const known = unix(value);
  if (known === null) return NONE;
  const past = nowS - known;
  if (Math.abs(past) < 1.5) return "now";
  const whole = Math.abs(past) < 120 ? Math.round(Math.abs(past)) : Math.abs(past);
  return past < 0 ? `in ${seconds(whole)}` : `${seconds(whole)} ago`;
};
