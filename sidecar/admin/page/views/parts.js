// What the views of quality, bias, versions and captures share beyond sidecar/ui.
import { useState } from "preact/hooks";
import { Tabs, html } from "sidecar/ui";
import { NONE, number } from "sidecar/format";

/** A number out of a document; NaN of null and of Model Monitor's words ("NaN", "Infinity"). */
export const numeric = (value) => (typeof value === "number" && Number.isFinite(value) ? value : Number.NaN);

/** Whether a document has a number there. */
export const known = (value) => Number.isFinite(numeric(value));

/** A difference with its sign: "+0.012", "−3 %". */
export const signed = (value, said = number) => {
  if (!known(value)) return NONE;
  const sign = value > 0 ? "+" : "−";
  return value === 0 ? said(0) : sign + said(Math.abs(value));
};

/** A value and how far chance may have moved it: "0.93 ± 0.01". */
export const withError = (value, error) => (known(error) ? `${number(value)} ± ${number(error, 2)}` : number(value));

/** Both ends of an interval; an open one has no end. */
export const interval = ([low, high], said = number) =>
  `${known(low) ? said(low) : "−∞"} to ${known(high) ? said(high) : "+∞"}`;

/** What a version is called: "champion, version 3". */
export const called = ({ name, version }) => (version ? `${name}, version ${version}` : name);

/** Of a variant and its version; what its tab and its rows are known by. */
export const keyOf = ({ name, version }) => `${name}/${version}`;

/**
 * A tab for each version; without tabs where there is one.
 * @param {{variants: {name: string, version: string}[], chosen?: string, children: (version: any) => any}} props `chosen` is
 *   the name of the variant that is shown first.
 */
export const ByVersion = ({ variants, chosen = "", children }) => {
  const show = Array.isArray(children) ? children[0] : children;
  const [selected, select] = useState("");
  if (variants.length === 1) return show(variants[0]);
  const first = variants.find(({ name }) => name === chosen) ?? variants[0];
  const tabs = variants.map((each) => ({ id: keyOf(each), label: called(each), content: () => show(each) }));
  return html`<${Tabs} label="Versions" tabs=${tabs} selected=${selected || keyOf(first)} onSelect=${select} />`;
};

const scale = (least, most, wide) => (value) => ((Math.min(Math.max(value, least), most) - least) / (most - least)) * wide;

const WIDE = 220;
const HIGH = 20;
const EDGE = 6; // Room for the dot and the ends of intervals.

const Allowed = ({ at, allowed: [low, high] }) => {
  const [from, to] = [at(known(low) ? low : -Infinity), at(known(high) ? high : Infinity)];
  return html`<rect x=${from} y="2" width=${Math.max(to - from, 1)} height=${HIGH - 4} fill="var(--good-ground)" stroke="var(--good)" stroke-dasharray="3 2" />`;
};

const Whiskers = ({ at, low, high, paint }) =>
  html`<path d=${`M${at(low)} ${HIGH / 2 - 4}v8m0 -4H${at(high)}m0 -4v8`} stroke=${paint} stroke-width="2" fill="none" />`;

/**
 * A number with its interval on a line, the range that it may be in behind it, and where nothing is the matter as an upright.
 * @param {{value: number, low: number, high: number, allowed?: [number | null, number | null] | null, nothing?: number,
 *   domain: [number, number], bad?: boolean, label: string}} props `domain` is what the line spans; beyond it ends are cut off.
 */
export const IntervalLine = ({ value, low, high, allowed, nothing, domain, bad, label }) => {
  const inner = scale(...domain, WIDE - 2 * EDGE);
  const at = (place) => EDGE + inner(place);
  const paint = bad ? "var(--bad)" : "var(--series-1)";
  return html`<svg width=${WIDE} height=${HIGH} viewBox="0 0 ${WIDE} ${HIGH}" role="img" aria-label=${label}>
    ${allowed && html`<${Allowed} at=${at} allowed=${allowed} />`}
    <line x1=${EDGE} x2=${WIDE - EDGE} y1=${HIGH / 2} y2=${HIGH / 2} stroke="var(--line)" />
    ${known(nothing) && html`<line x1=${at(nothing)} x2=${at(nothing)} y1="0" y2=${HIGH} stroke="var(--quiet)" />`}
    ${known(low) && known(high) && html`<${Whiskers} ...${{ at, low, high, paint }} />`}
    ${known(value) && (bad ? html`<rect x=${at(value) - 4} y=${HIGH / 2 - 4} width="8" height="8" fill=${paint} />` : html`<circle cx=${at(value)} cy=${HIGH / 2} r="4" fill=${paint} />`)}
  </svg>`;
};

/** What an `IntervalLine` has to span to show all of `values`, with some room. */
export const spanning = (values) => {
  const all = values.filter(known);
  const [least, most] = [Math.min(...all), Math.max(...all)];
  if (!all.length) return [-1, 1];
  const room = (most - least) * 0.08 || Math.abs(most) * 0.1 || 1;
  return [least - room, most + room];
};

/** Two bars, one below the other: then and now. Both are on the scale of `most`. */
export const PairOfBars = ({ was, is, most, label }) => {
  const wide = (value) => (known(value) ? (Math.abs(value) / (most || 1)) * (WIDE - 2) : 0);
  return html`<svg width=${WIDE} height="18" viewBox="0 0 ${WIDE} 18" role="img" aria-label=${label}>
    <rect x="0" y="1" height="7" width=${wide(was)} fill="var(--series-6)" opacity="0.55" />
    <rect x="0" y="10" height="7" width=${wide(is)} fill="var(--series-1)" />
  </svg>`;
};

/** A part of a whole, as a bar beside its number. */
export const Bar = ({ value, most = 1, label }) =>
  html`<progress max=${most > 0 ? most : 1} value=${known(value) ? Math.min(Math.max(value, 0), most) : 0} aria-label=${label} style=${{ display: "block", width: "7rem" }}></progress>`;
