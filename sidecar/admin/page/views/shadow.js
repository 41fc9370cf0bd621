// What the shadow answers, compared with what clients got.
import { useDocument } from "sidecar/store";
import { Card, Empty, Facts, Loaded, Table, html } from "sidecar/ui";
import { count, moment, number, percent, seconds } from "sidecar/format";
import { called, known } from "./parts.js";

const SIDES = [["original", "What clients got"], ["shadow", "The shadow"], ["difference", "Difference"]];

const latencies = ({ seconds: by }) => SIDES.filter(([side]) => by[side]).map(([side, label]) => ({ label, ...by[side] }));

const LATENCIES = [
  { key: "label", label: "Latency", head: true, cell: ({ label }) => label },
  ...["mean", "p50", "p90", "p99"].map((key) => ({ key, label: key, numeric: true, cell: ({ [key]: value }) => seconds(value) })),
];

const COLUMNS = [
  { key: "name", label: "Column", head: true, value: ({ name }) => name },
  { key: "rows", label: "Rows", numeric: true, value: ({ rows }) => rows, cell: ({ rows }) => count(rows) },
  { key: "mean", label: "Mean distance", numeric: true, value: (each) => each.mean_distance, cell: (each) => number(each.mean_distance) },
  { key: "most", label: "Greatest", numeric: true, value: (each) => each.greatest_distance, cell: (each) => number(each.greatest_distance) },
];

const EXAMPLES = [
  { key: "request", label: "Request", head: true, cell: ({ request_id: id }) => html`<a href=${`#/captures/${encodeURIComponent(id)}`}>${id}</a>` },
  { key: "row", label: "Row", numeric: true, cell: ({ row }) => count(row) },
  { key: "distance", label: "Distance", numeric: true, value: ({ distance }) => distance, cell: ({ distance }) => number(distance) },
  { key: "texts", label: "Other texts", numeric: true, cell: ({ texts }) => count(texts) },
  { key: "time", label: "When", cell: ({ time_s: at }) => moment(at) },
];

const Agreement = ({ said, since }) =>
  html`<${Facts} facts=${[
      ["Pairs", count(said.pairs)],
      since && ["Since", moment(since)],
      ["Equal predictions", percent(said.equal_ratio)],
      ["Both 2xx", percent(said.statuses.both_ok_ratio)],
      ["Only the original", percent(said.statuses.only_original_ok_ratio)],
      ["Only the shadow", percent(said.statuses.only_shadow_ok_ratio)],
      said.unread_pairs > 0 && ["Unread pairs", count(said.unread_pairs)],
      said.incomparable_rows > 0 && ["Incomparable rows", count(said.incomparable_rows)],
    ]} />
    <${Table} caption="Latencies" hidden rows=${latencies(said)} rowKey=${({ label }) => label} columns=${LATENCIES} />
    ${said.columns.length > 0 && html`<${Table} caption="Predictions, how far apart" rows=${said.columns} rowKey=${({ name }) => name} columns=${COLUMNS} />`}
    ${said.examples.length > 0 && html`<details><summary>Rows that were answered most differently</summary><${Table} caption="Examples" hidden rows=${said.examples} rowKey=${(each) => `${each.request_id}/${each.row}`} columns=${EXAMPLES} /></details>`}`;

const Comparison = ({ comparison }) =>
  html`<${Card} title=${`${called({ name: comparison.variant, version: comparison.version })}, beside ${called({ name: comparison.original.variant, version: comparison.original.version })}`}>
    <h3>The latest ${count(comparison.rolling.pairs)} pairs</h3>
    <${Agreement} said=${comparison.rolling} />
    ${comparison.lifetime.pairs > comparison.rolling.pairs && html`<details><summary>All ${count(comparison.lifetime.pairs)} pairs</summary><${Agreement} said=${comparison.lifetime} since=${comparison.since_s} /></details>`}
  <//>`;

const reasons = (by) => Object.entries(by).filter(([, value]) => known(value) && value > 0).map(([why, value]) => `${why} ${count(value)}`).join(", ") || "none";

const Copies = ({ shadow }) =>
  html`<${Card} title=${`Copies to ${shadow.variant}`}>
    <${Facts} facts=${[
      ["Sent", count(shadow.sent)],
      ["In flight", count(shadow.in_flight)],
      ["Shed", reasons(shadow.shed)],
      ["Failed", reasons(shadow.failed)],
      ["Waiting for the other", count(shadow.waiting)],
      ["Clients that did not wait", count(shadow.unanswered)],
      ["No room", count(shadow.dropped)],
    ]} />
    ${shadow.comparisons.length === 0 && html`<p class="quiet">No pair has been compared yet.</p>`}
  <//>`;

const NO_SHADOW = html`<${Card} title="Shadow"><${Empty} title="Nothing is copied" code=${`shadow: {variant: challenger, ratio: 0.1}`}>
  A shadow gets copies of a share of the requests, and its replies are dropped: its answers are compared, and graded by labels, before it serves anybody.
<//><//>`;

/** /v1/shadow; without one, how to have it. */
export const Shadow = () => {
  const document = useDocument("shadow");
  const shown = (shadow) =>
    shadow ? html`<${Copies} shadow=${shadow} />${shadow.comparisons.map((each) => html`<${Comparison} key=${`${each.version}/${each.original.variant}/${each.original.version}`} comparison=${each} />`)}` : NO_SHADOW;
  return html`<${Loaded} known=${document} what="The shadow" missing=${NO_SHADOW}>${shown}<//>`;
};
