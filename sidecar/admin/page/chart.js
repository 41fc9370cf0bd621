// Lines over time, or over another axis, drawn by uPlot (a classic script: the global `uPlot`).
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { html } from "sidecar/ui";
import { NONE, clock, number, percent, seconds } from "sidecar/format";

const UNITS = { s: seconds, ratio: percent };

/** A value in the words of its unit: "s" and "ratio" have their own; any other stands behind the number. */
const worded = (unit) =>
  UNITS[unit] ?? ((value) => (value === null || value === undefined ? NONE : number(value) + (unit ? ` ${unit}` : "")));

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const PALETTE = 6;
const stroke = (at) => colour(`--series-${(at % PALETTE) + 1}`);

/** Changes when the colour scheme does: canvases have to be painted again. */
const useScheme = () => {
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const changed = () => setTurn((old) => old + 1);
    const media = matchMedia("(prefers-color-scheme: dark)");
    const observer = new MutationObserver(changed);
    media.addEventListener("change", changed);
    observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => {
      media.removeEventListener("change", changed);
      observer.disconnect();
    };
  }, []);
  return turn;
};

const finite = (values) => values.filter((value) => Number.isFinite(value));

/** So many seconds at least: of the first points one sees where they are. */
const SPAN_S = 60;

const span = (time) => (u, first, last) => {
  if (first === null || !time) return [first, last];
  const end = u.data[0].length === 1 ? first : last; // uPlot goes on for a day from a single one.
  return [Math.min(first, end - SPAN_S), end];
};

/** What is drawn and every limit, with room around; what is never negative stands on 0 where that is near. */
const range = (limits, bounds, reach) => (_, low, high) => {
  const all = finite([low, high, ...limits.map(({ value }) => value), ...(reach === undefined ? [] : [0, reach])]);
  if (bounds || !all.length) return bounds ?? [0, 1];
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const pad = (most - least) * 0.08 || Math.abs(most) * 0.1 || 1;
  return [least >= 0 && least - pad < 0 ? 0 : least - pad, most + pad];
};

const line = (u, from, to, dash) => {
  u.ctx.setLineDash(dash);
  u.ctx.beginPath();
  u.ctx.moveTo(...from);
  u.ctx.lineTo(...to);
  u.ctx.stroke();
  u.ctx.setLineDash([]);
};

const label = (u, text, x, y, align) => {
  u.ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  u.ctx.textAlign = align;
  u.ctx.textBaseline = "bottom";
  u.ctx.fillText(text, x, y);
};

/** Limits as level lines, marks as upright ones; words beside them where there is room. */
const overlay = (limits, marks, small) => (u) => {
  const { left, top, width, height } = u.bbox;
  u.ctx.save();
  u.ctx.lineWidth = devicePixelRatio;
  u.ctx.strokeStyle = u.ctx.fillStyle = colour("--limit");
  limits
    .filter(({ value }) => Number.isFinite(value))
    .forEach(({ value, label: text }) => {
      const y = u.valToPos(value, "y", true);
      line(u, [left, y], [left + width, y], [6, 4]);
      if (!small) label(u, text, left + width - 4, y - 2, "right");
    });
  u.ctx.strokeStyle = u.ctx.fillStyle = colour("--mark");
  marks.forEach(({ time, label: text }) => {
    const x = u.valToPos(time, "x", true);
    if (!(x >= left && x <= left + width)) return;
    line(u, [x, top], [x, top + height], [2, 3]);
    if (!small)
      label(
        u,
        text,
        x + (x > left + width / 2 ? -4 : 4),
        top + 14 * devicePixelRatio,
        x > left + width / 2 ? "right" : "left",
      );
  });
  u.ctx.restore();
};

/** So few that there is no line between them. */
const isFew = (values) => finite(values).length < 2;

/** uPlot's series, data and bands; a band is two more series without a stroke. */
const laid = (xs, series, said, small) => {
  const out = {
    series: [{ label: "time", value: (_, at) => (at === null ? NONE : clock(at)) }],
    data: [xs],
    bands: [],
  };
  const add = (values, options) => out.series.push({ spanGaps: false, ...options }) && out.data.push(values);
  series.forEach(({ label: text, values, band, dashed, points }, at) => {
    const paint = { stroke: stroke(at), width: small ? 1.5 : 1.75, dash: dashed ? [5, 4] : undefined };
    add(values, {
      label: text,
      value: (_, value) => said(value),
      points: { show: points ?? (isFew(values) || undefined), size: 5 },
      ...paint,
    });
    if (!band) return;
    const end = out.series.length;
    band.forEach((edge, side) =>
      add(edge, {
        label: `${text} ${side ? "high" : "low"}`,
        value: (_, value) => said(value),
        stroke: "transparent",
        points: { show: false },
      }),
    );
    out.bands.push({ series: [end + 1, end], fill: `${stroke(at)}2e` });
  });
  return out;
};

const axis = (more) => ({
  stroke: colour("--quiet"),
  grid: { stroke: colour("--line"), width: 1 },
  ticks: { show: false },
  font: "11px system-ui, sans-serif",
  ...more,
});

const TIMES = [
  [86400, "{MMM} {D}", null, null, null, null, null, null, 1],
  [60, "{HH}:{mm}", null, null, null, null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 1],
];

const options = ({ xs, time, series, marks, limits, height, unit, xLabel, bounds, reach, small }, width) => {
  const said = worded(unit);
  const { data, ...rest } = laid(xs, series, said, small);
  if (!time) rest.series[0] = { label: xLabel, value: (_, at) => number(at) };
  const ticks = (_, splits) => splits.map((value) => (UNITS[unit] ?? number)(value));
  const upright = axis({ size: unit === "s" || unit === "ratio" ? 62 : 54, values: ticks, space: 28 });
  const level = axis({
    values: time ? TIMES : undefined,
    space: 56,
    size: xLabel && !time ? 34 : 26,
    label: time ? undefined : xLabel,
    labelSize: 16,
    labelFont: "11px system-ui, sans-serif",
  });
  return [
    {
      width,
      height,
      ...rest,
      pxAlign: false,
      padding: small ? [3, 2, 3, 2] : [8, 24, 0, 0],
      scales: { x: { time, range: span(time) }, y: { range: range(limits, bounds, reach) } },
      axes: small ? [{ show: false }, { show: false }] : [level, upright],
      legend: { show: !small, live: true },
      cursor: { show: !small, drag: { x: false, y: false }, points: { size: 6 } },
      hooks: { draw: [overlay(limits, marks, small)] },
    },
    data,
  ];
};

/** Latest, least and greatest of each series, for who does not see the lines. */
const summary = ({ series, unit, title, limits, marks }) => {
  const said = worded(unit);
  const told = series.map(({ label: text, values }) => {
    const all = finite(values);
    return all.length
      ? `${text}: latest ${said(all.at(-1))}, least ${said(Math.min(...all))}, greatest ${said(Math.max(...all))}`
      : `${text}: nothing yet`;
  });
  const lines = limits
    .filter(({ value }) => Number.isFinite(value))
    .map(({ value, label: text }) => `${text} at ${said(value)}`);
  const moments = marks.map(({ time, label: text }) => `${text} at ${clock(time)}`);
  return `Chart${title ? ` of ${title}` : ""}. ${[...told, ...lines, ...moments].join(". ")}.`;
};

const WIDTH = 300; // Before the layout is known.

const usePlot = (props) => {
  const place = useRef(null);
  const plot = useRef(null);
  const scheme = useScheme();
  // Everything but the numbers: when it is another, the plot is made anew.
  const shape = JSON.stringify([
    props.series.map(({ label: text, values, band, dashed }) => [text, isFew(values), Boolean(band), dashed]),
    props.limits,
    props.marks,
    props.height,
    props.unit,
    props.bounds,
    props.reach,
    scheme,
  ]);
  useLayoutEffect(() => {
    const width = () => Math.max(place.current.clientWidth, 60) || WIDTH;
    const [wanted, data] = options(props, width());
    plot.current = new uPlot(wanted, data, place.current);
    const observer = new ResizeObserver(() => plot.current.setSize({ width: width(), height: props.height }));
    observer.observe(place.current);
    return () => {
      observer.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => plot.current.setData(options(props, WIDTH)[1]), [props.xs, props.series]);
  return place;
};

const Plot = (props) =>
  html`<div class=${props.small ? "plot small" : "plot"} role="img" aria-label=${summary(props)}
    ref=${usePlot(props)}></div>`;

/**
 * Lines over `times` (Unix seconds), or over `x` (ascending numbers) with `xLabel`. null is a gap.
 * @param {{
 *   times?: number[], x?: number[], xLabel?: string, title?: string,
 *   series: {label: string, values: (number | null)[], band?: [(number | null)[], (number | null)[]],
 *     dashed?: boolean, points?: boolean}[],
 *   marks?: {time: number, label: string}[], limits?: {value: number, label: string}[],
 *   height?: number, unit?: "s" | "ratio" | string, bounds?: [number, number], reach?: number, small?: boolean}} props
 *   `title` is for the text alternative; `marks` are upright lines (on the x axis, whatever it is), `limits` level ones;
 *   `bounds` fixes the y axis; `reach` has it go from 0 to this at least, so that little
 *   does not look like much; `small` has neither axes nor legend.
 */
export const Chart = ({
  times,
  x,
  xLabel,
  title,
  series,
  marks = [],
  limits = [],
  height,
  unit = "",
  bounds,
  reach,
  small = false,
}) => {
  const xs = times ?? x ?? [];
  const drawn = series.some(({ values }) => finite(values).length > 0);
  if (!drawn)
    return small
      ? html`<p class="quiet plot small">${NONE}</p>`
      : html`<p class="quiet">Nothing to draw yet: the first points come within 10 s.</p>`;
  return html`<${Plot}
    ...${{ xs, time: Boolean(times), xLabel, title, series, marks, limits, unit, bounds, reach, small }}
      height=${height ?? (small ? 36 : 180)} />`;
};
