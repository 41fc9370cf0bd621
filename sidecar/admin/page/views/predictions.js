// What the model answers beside the reference, and what its answers rest on; `#/predictions/<name>` is the page of one column.
import { useDocument, useHistory } from "sidecar/store";
import { Badge, Card, Distribution, Empty, Legend, Loaded, Table, html, sideOf } from "sidecar/ui";
import { Chart } from "sidecar/chart";
import { count, number, percent } from "sidecar/format";
import { CHANCE_NATS, ColumnPage, Since, Standing, needed } from "./column.js";
import { Attributions } from "./attributions.js";
import { ByVersion } from "./parts.js";

const DRAWN = 8; // Columns with a chart of their own here; all have a page.

const of = (variant) => variant.columns.filter(({ subject }) => subject === "predictions");

const spread = ({ window, lifetime }) => {
  const now = window.rows ? window : lifetime;
  if (now.count) return `mean ${number(now.mean)}, ${number(now.min)} to ${number(now.max)}`;
  const first = now.texts?.top[0];
  return first ? `${first.value}: ${percent(first.count / now.texts.rows)}` : "no values yet";
};

const link = ({ name }) => html`<a href=${`#/predictions/${encodeURIComponent(name)}`}>${name}</a>`;

const Drawn = ({ variant, column }) => {
  const history = useHistory("drift", { variant: variant.name, name: column.name });
  const evidence = [{ label: "evidence", values: history.data?.series.evidence_nats ?? [] }];
  const alarm = column.drift?.needed_nats ?? needed(variant);
  return html`<${Card} level=${3} title=${link(column)} actions=${html`<${Standing} column=${column} />`}>
    ${column.drift && html`<p><${Since} drift=${column.drift} /></p>`}
    <${Distribution} ...${column} large />
    <p class="bins" aria-hidden="true"><span>${column.bins[0]}</span><span>${column.bins.at(-1)}</span></p>
    <p class="quiet">Evidence of drift, nats</p>
    <${Chart} title=${`evidence of drift in ${column.name}`} unit="nats" height=${110} times=${history.data?.times_s ?? []} series=${evidence} limits=${[{ value: alarm, label: `alarm at ${number(alarm)} nats` }]} reach=${CHANCE_NATS} />
  <//>`;
};

const statistics = (kind) => ({
  key: kind,
  label: kind,
  numeric: true,
  value: (column) => column.statistics[kind]?.statistic ?? null,
  cell: ({ statistics: { [kind]: said } }) => said && html`${number(said.statistic)} <span class="quiet">of ${number(said.limit)}</span>`,
});

const listed = (columns, said) => [
  { key: "name", label: "Name", head: true, value: ({ name }) => name, cell: link },
  { key: "drift", label: "Drift", cell: (column) => html`<${Standing} column=${column} />` },
  { key: "shape", label: "Distribution", cell: (column) => html`<${Distribution} ...${column} />` },
  { key: "now", label: "Now", cell: ({ name }) => said.has(name) && spread(said.get(name)) },
  { key: "evidence", label: "Evidence, nats", numeric: true, value: (column) => column.evidence_nats, cell: (column) => number(column.evidence_nats) },
  ...[...new Set(columns.flatMap((column) => Object.keys(column.statistics)))].slice(0, 3).map(statistics),
];

const Compared = ({ variant, said }) => {
  const columns = of(variant);
  const drifting = columns.filter(({ drift }) => drift).length;
  return html`<${Card} title=${drifting ? `${count(drifting)} of ${count(columns.length)} predictions drift` : "Predictions beside the reference"} kind=${drifting ? "bad" : undefined}
      actions=${html`<span class="quiet">${count(variant.rows)} rows compared</span>`}>
    <${Legend} now=${sideOf(columns)} />
    <div class="grid">${columns.slice(0, DRAWN).map((column) => html`<${Drawn} key=${column.name} variant=${variant} column=${column} />`)}</div>
    <${Table} caption=${`Predictions of ${variant.name}`} hidden rows=${columns} columns=${listed(columns, said)} rowKey=${({ name }) => name} />
  <//>`;
};

const MOMENTS = [
  ["rows", "Rows", ({ rows }) => rows, count],
  ["missing", "Missing", ({ missing }) => missing, count],
  ["mean", "Mean", ({ mean }) => mean, number],
  ["std", "Standard deviation", ({ std }) => std, number],
  ["min", "Least", ({ min }) => min, number],
  ["max", "Greatest", ({ max }) => max, number],
];

const Told = ({ predictions }) =>
  html`<${Card} title="Predictions without a reference">
    <p class="quiet">Of the current window. What they were like when all was well is not known, so nobody can say whether they drift: <a href="#/features">how to get a reference</a>.</p>
    <${Table} caption="Statistics of the predictions" hidden rows=${predictions} rowKey=${({ name }) => name} columns=${[
      { key: "name", label: "Name", head: true, value: ({ name }) => name },
      { key: "now", label: "Now", cell: spread },
      ...MOMENTS.map(([key, label, value, said]) => ({ key, label, numeric: true, value: ({ window }) => value(window), cell: ({ window }) => said(value(window)) })),
    ]} />
  <//>`;

const NOTHING_READ = html`<${Empty} title="No prediction has been read yet" code=${`payload: {format: auto, prediction: [label, probability]}
capture: {sample_ratio: 0.1}`}>
  Predictions are read from replies that are captured. If there is traffic, the format may be none that the sidecar
  recognises: the <a href="#/captures">captures</a> show what replies look like, and <a href="#/sidecar">the sidecar's page</a> why they could not be read.
<//>`;

/** Variants of both documents, which come at times of their own: `{name, version, watched, predictions}`. */
const joined = (drift, features) => {
  const watched = (drift?.variants ?? []).filter((variant) => of(variant).length > 0);
  const others = (features?.variants ?? []).filter(({ name, predictions }) => predictions.length && !watched.some((each) => each.name === name));
  const predictions = (name) => features?.variants.find((each) => each.name === name)?.predictions ?? [];
  return [
    ...watched.map((each) => ({ name: each.name, version: each.version, watched: each, predictions: predictions(each.name) })),
    ...others.map((each) => ({ name: each.name, version: "", watched: null, predictions: each.predictions })),
  ];
};

const Variant = ({ variant }) => {
  const said = new Map(variant.predictions.map((each) => [each.name, each]));
  return variant.watched ? html`<${Compared} variant=${variant.watched} said=${said} />` : html`<${Told} predictions=${variant.predictions} />`;
};

const All = () => {
  const drift = useDocument("drift");
  const features = useDocument("features");
  const attribution = useDocument("attribution");
  const shown = (data) => {
    const variants = joined(drift.data, data);
    return variants.length ? html`<${ByVersion} variants=${variants}>${(variant) => html`<${Variant} key=${variant.name} variant=${variant} />`}<//>` : NOTHING_READ;
  };
  return html`<h1>Predictions</h1>
    ${drift.error && drift.error.status !== 404 && html`<p><${Badge} kind="warn">drift cannot be shown<//> ${drift.error.message}</p>`}
    <${Loaded} known=${features} what="The predictions">${shown}<//>
    <${Attributions} known=${attribution} />`;
};

/** @param {{parameter: string}} props A prediction's name, or empty for all. */
export default function View({ parameter }) {
  return parameter ? html`<${ColumnPage} key=${parameter} name=${parameter} subject="predictions" />` : html`<${All} />`;
}
