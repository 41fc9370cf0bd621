// Whether the model is right: scores, tests and their causes by version, as far as labels have come.
import { useState } from "preact/hooks";
import { useDocument, useHistory } from "sidecar/store";
import { Badge, Card, Empty, Facts, Field, Loaded, Table, html } from "sidecar/ui";
import { Chart } from "sidecar/chart";
import { count, moment, number, unix } from "sidecar/format";
import { ByVersion, called, known } from "./parts.js";
import { Curves, Scores, kindOfTask, metricsOf, scalars } from "./scores.js";
import { Causes, Tests, alarms } from "./standing.js";

const POST = `curl -s ${location.origin}/v1/labels -H 'Content-Type: application/json' \\
  -d '[{"id": "<request id>", "label": 1}]'`;

const NO_MONITOR = html`<${Empty} title="Nobody grades the model" code=${`model: {task: binary, prediction: label, probabilities: [probability]}
capture: {sample_ratio: 1.0}
state: /var/lib/sidecar
monitors: [{kind: quality, alert_when: {f1: {below: 0.9}}}]`}>
  A monitor of kind <code>quality</code> joins labels with predictions, whenever they come, and tells whether the model is still right.
<//>`;

const NO_LABELS = html`<${Empty} title="No label has been joined yet" code=${POST}>
  Post the truth when it is known, by the request id that replies carry (<code>x-request-id</code>); <code>sidecar labels labels.jsonl</code> posts files. Only a
  captured exchange can be joined: where labels are scarce, set <code>capture.sample_ratio</code> to 1.
<//>`;

const POSTED = {
  joined: "joined with their prediction",
  waiting: "waiting for their prediction",
  duplicate: "posted again: the first one stands",
  unknown: "of no exchange that was captured",
  expired: "too late: the prediction is not kept any more",
  malformed: "malformed",
};

const Labels = ({ labels }) =>
  html`<${Card} title="Labels">
    <${Facts} facts=${[
      ["Predictions", count(labels.predictions)],
      ["Awaiting a label", count(labels.awaiting)],
      ["Never got one in time", count(labels.missing)],
      labels.repeated > 0 && ["Repeated ids", count(labels.repeated)],
      ["Predictions dropped", count(labels.dropped)],
    ]} />
    <${Table} caption="Labels posted, by what became of them" rows=${Object.entries(labels.posted)} rowKey=${([status]) => status} columns=${[
      { key: "status", label: "Labels", head: true, cell: ([status]) => status },
      { key: "count", label: "So many", numeric: true, value: ([, value]) => value, cell: ([, value]) => count(value) },
      { key: "meaning", label: "That is", cell: ([status]) => POSTED[status] },
    ]} />
  <//>`;

const Outcomes = ({ outcomes }) =>
  outcomes.length > 0 && html`<${Card} title="Outcomes">
    <${Table} caption="Numbers posted by request: clicks, amounts" hidden rows=${outcomes} rowKey=${(each) => `${each.variant}/${each.version}/${each.metric}`} columns=${[
      { key: "metric", label: "Metric", head: true, value: ({ metric }) => metric },
      { key: "variant", label: "Version", value: ({ variant, version }) => called({ name: variant, version }) },
      { key: "values", label: "Values", numeric: true, value: ({ values }) => values, cell: ({ values }) => count(values) },
      { key: "mean", label: "Mean", numeric: true, value: ({ mean }) => mean, cell: ({ mean }) => number(mean) },
      { key: "error", label: "Standard error", numeric: true, value: (each) => each.standard_deviation, cell: (each) => number(each.standard_deviation, 2) },
    ]} />
  <//>`;

const FIRST = { binary: "f1", multiclass: "accuracy", regression: "rmse" };

const limitsOf = (version, name) =>
  version.violations.filter((each) => each.metric_name === name && known(each.threshold)).map((each) => ({ value: each.threshold, label: `limit ${number(each.threshold)}` }));

const began = ({ tests }) =>
  Object.values(tests).filter((test) => test?.alarm && known(test.since_s)).slice(0, 1).map(({ since_s: time }) => ({ time, label: "most likely began" }));

const Past = ({ version }) => {
  const names = scalars(metricsOf(version.window)).map(({ name }) => name);
  const [chosen, choose] = useState(FIRST[version.task]);
  const name = names.includes(chosen) ? chosen : names[0];
  const history = useHistory(name ? "quality" : null, { variant: version.name, version: version.version || undefined, name });
  if (!name) return null;
  const picked = html`<${Field} label="Metric">${(id) => html`<select id=${id} value=${name} onChange=${(event) => choose(event.currentTarget.value)}>${names.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}</select>`}<//>`;
  return html`<${Card} title="Over time">
    <div class="controls">${picked}</div>
    <${Chart} title=${name} times=${history.data?.times_s ?? []} series=${[{ label: name, values: history.data?.series.value ?? [] }]} limits=${limitsOf(version, name)} marks=${began(version)} />
  <//>`;
};

const Learning = ({ reference }) =>
  reference.learned
    ? html`<p class="quiet">Compared with its first ${count(reference.rows)} labelled rows${known(reference.loss) && `, of which the mean loss was ${number(reference.loss)}`}.</p>`
    : html`<p><label>Its yardstick is being learned: ${count(reference.rows)} of ${count(reference.needed_rows)} labelled rows <progress max=${Math.max(reference.needed_rows, 1)} value=${reference.rows}></progress></label></p>`;

const headline = (version, fallen) => {
  if (fallen.length) return html`<${Badge} kind="bad">quality has fallen<//>`;
  if (version.violations.length) return html`<${Badge} kind="warn">beyond a limit<//>`;
  if (!version.reference.learned) return html`<${Badge}>being learned<//>`;
  return html`<${Badge} kind="good">as good as it was<//>`;
};

const Verdict = ({ version }) => {
  const fallen = alarms(version);
  const dataset = version.window?.dataset;
  const kind = fallen.length ? "bad" : version.violations.length ? "warn" : version.reference.learned ? "good" : undefined;
  return html`<${Card} title=${called(version)} kind=${kind} actions=${headline(version, fallen)}>
    ${fallen.map((sentence) => html`<p key=${sentence}>${sentence}</p>`)}
    ${version.violations.map((each) => html`<p key=${each.metric_name}><${Badge} kind="warn">${each.metric_name}<//> ${number(each.value)}, ${each.constraint_check_type === "LessThanThreshold" ? "below" : "above"} its limit of ${number(each.threshold)}</p>`)}
    ${version.notes.map((note) => html`<p key=${note}><${Badge} kind="warn">note<//> ${note}</p>`)}
    <${Learning} reference=${version.reference} />
    <${Facts} facts=${[
      ["Task", version.task],
      ["Labelled rows", count(version.labelled)],
      ["In the window", count(dataset?.item_count)],
      ["Window from", moment(dataset && unix(dataset.start_time))],
      ["Window to", moment(dataset && unix(dataset.end_time))],
      ["Reads", [version.reads.prediction, ...version.reads.probabilities].filter(Boolean).join(", ") || "no column yet"],
    ]} />
  <//>`;
};

const Version = ({ version }) =>
  version.labelled === 0
    ? html`<${Verdict} version=${version} />${NO_LABELS}`
    : html`<${Verdict} version=${version} />
      <${Causes} version=${version} />
      <${Scores} version=${version} />
      <${Past} version=${version} />
      <${Curves} task=${kindOfTask(version.window)} metrics=${metricsOf(version.window)} />
      <${Tests} version=${version} />`;

const Shown = ({ data, chosen }) => html`
  ${data.variants.length
    ? html`<${ByVersion} variants=${data.variants} chosen=${chosen}>${(version) => html`<${Version} key=${called(version)} version=${version} />`}<//>`
    : data.labels.posted.joined > 0 ? NO_MONITOR : NO_LABELS}
  <${Labels} labels=${data.labels} />
  <${Outcomes} outcomes=${data.outcomes} />`;

/** @param {{parameter: string}} props The variant to begin with, or empty. */
export default function View({ parameter }) {
  const document = useDocument("quality");
  return html`<h1>Quality</h1><${Loaded} known=${document} what="Quality" missing=${NO_MONITOR}>${(data) => html`<${Shown} data=${data} chosen=${parameter} />`}<//>`;
}
