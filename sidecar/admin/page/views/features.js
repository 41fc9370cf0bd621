// Every feature beside the reference, the most drifted first; `#/features/<name>` is the page of one.
import { useMemo, useState } from "preact/hooks";
import { useDocument } from "sidecar/store";
import { Card, Distribution, Empty, Field, Legend, Loaded, Table, Tabs, html, sideOf } from "sidecar/ui";
import { count, number } from "sidecar/format";
import { ColumnPage, Since, Standing, rank } from "./column.js";

const KINDS = 3; // As many detectors' statistics have room beside each other; all are on the column's page.

const windowed = (columns) =>
  [...new Set(columns.flatMap(({ statistics }) => Object.keys(statistics)))].slice(0, KINDS);

const statistic = (kind) => ({
  key: kind,
  label: kind,
  numeric: true,
  value: ({ statistics }) => statistics[kind]?.statistic ?? null,
  cell: ({ statistics: { [kind]: said } }) =>
    said && html`${number(said.statistic)} <span class="quiet">of ${number(said.limit)}</span>`,
});

const head = [
  {
    key: "name",
    label: "Name",
    head: true,
    value: ({ name }) => name,
    cell: ({ name }) => html`<a href=${`#/features/${encodeURIComponent(name)}`}>${name}</a>`,
  },
  {
    key: "drift",
    label: "Drift",
    descending: true,
    value: rank,
    cell: (column) => html`<${Standing} column=${column} />`,
  },
  {
    key: "change",
    label: "What has changed",
    cell: ({ drift }) => drift && html`<div class="change"><${Since} drift=${drift} /></div>`,
  },
  { key: "shape", label: "Distribution", cell: (column) => html`<${Distribution} ...${column} />` },
  {
    key: "evidence",
    label: "Evidence, nats",
    numeric: true,
    value: (column) => column.evidence_nats,
    cell: (column) => number(column.evidence_nats),
  },
];

/** The rows below say the same of each column; of pairs of them nothing else does. */
const Findings = ({ sentences }) =>
  sentences.length > 0 &&
  html`<details><summary>In sentences (${sentences.length})</summary>${sentences.map(
    (sentence) => html`<p key=${sentence}>${sentence}</p>`,
  )}</details>`;

const Features = ({ variant }) => {
  const [wanted, setWanted] = useState("");
  const features = variant.columns.filter(({ subject }) => subject === "features");
  const kinds = windowed(features);
  const columns = useMemo(() => [...head, ...kinds.map(statistic)], [kinds.join()]);
  const shown = features.filter(({ name }) => name.toLowerCase().includes(wanted.trim().toLowerCase()));
  const drifting = features.filter(({ drift }) => drift).length;
  return html`<${Card} title=${`${count(drifting)} of ${count(features.length)} features drift`}
    kind=${drifting ? "bad" : variant.rows ? "good" : undefined}
      actions=${html`<span class="quiet">${count(variant.rows)} rows compared</span>`}>
    <${Findings} sentences=${variant.findings} />
    <div class="controls">
      <${Field} label="Show names with">${(id) => html`<input id=${id} type="search" value=${wanted}
        onInput=${(event) => setWanted(event.currentTarget.value)} />`}<//>
      <${Legend} now=${sideOf(features)} />
    </div>
    <${Table} caption=${`Features of ${variant.name}`} hidden rows=${shown} columns=${columns}
      rowKey=${({ name }) => name} sort=${{ key: "drift", descending: true }}
      empty=${wanted ? `No name has "${wanted}" in it.` : "The reference has no features."} />
  <//>`;
};

const SAMPLE = `reference: {path: reference/, learn_rows: 10000}
monitors: [{kind: data}]`;

const NoReference = () => {
  const { data } = useDocument("reference");
  if (data?.learning) {
    const { rows, of } = data.learning;
    return html`<${Empty} title="A reference is being learned">
      ${count(rows)}${of ? ` of ${count(of)}` : ""} rows so far. Features are compared with it as soon as it is there.
    <//>`;
  }
  if (data?.rows) {
    return html`<${Empty} title="No row has come yet that could be compared">
      There is a reference, of ${count(data.rows)} rows. If requests do pass, see how many bodies were not decoded, and
      why, on the <a href="#/sidecar">sidecar's own page</a>: <code>payload.format</code> says what they are where it is
      not recognised, and <code>capture.sample_ratio</code> how many are read.
    <//>`;
  }
  return html`<${Empty} title="Nothing to compare with yet" code=${SAMPLE}>
    Drift is told against a reference: make one with <code>sidecar baseline train.csv -o reference/</code>, or let it be
    learned from the first rows; the <a href="#/sidecar">sidecar's own page</a> can begin with that.
  <//>`;
};

const Variants = ({ variants }) => {
  const [chosen, choose] = useState("");
  if (!variants.length) return html`<${NoReference} />`;
  if (variants.length === 1) return html`<${Features} variant=${variants[0]} />`;
  const tabs = variants.map((variant) => ({
    id: variant.name,
    label: variant.name,
    content: () => html`<${Features} key=${variant.name} variant=${variant} />`,
  }));
  return html`<${Tabs} label="Variants" tabs=${tabs} selected=${chosen || tabs[0].id} onSelect=${choose} />`;
};

const All = () => {
  const drift = useDocument("drift");
  return html`<h1>Features</h1><${Loaded} known=${drift} what="Drift"
    missing=${html`<${NoReference} />`}>${(data) => html`<${Variants} variants=${data.variants} />`}<//>`;
};

/** @param {{parameter: string}} props A feature's name, or empty for all. */
export default function View({ parameter }) {
  return parameter ? html`<${ColumnPage} key=${parameter} name=${parameter} subject="features" />` : html`<${All} />`;
}
