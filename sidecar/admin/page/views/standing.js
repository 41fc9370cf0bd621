// What the sequential tests of a version say, what has moved, and where the loss rose most.
import { useDocument } from "sidecar/store";
import { Badge, Card, Table, html } from "sidecar/ui";
import { ago, clock, count, moment, number, percent } from "sidecar/format";
import { Bar, known, signed } from "./parts.js";

/** What each test asks; of classes the loss is a wrong answer. */
const TESTS = {
  worse: { asks: "Has the mean loss risen?", found: "The mean loss has risen" },
  loss: { asks: "Is there more loss than the inputs make one expect?", found: "There is more loss than the inputs make one expect" },
  up: { asks: "Are labels higher than the inputs make one expect?", found: "Labels are higher than the inputs make one expect" },
  down: { asks: "Are labels lower than the inputs make one expect?", found: "Labels are lower than the inputs make one expect" },
  champion: { asks: "Is it worse than the champion, in pairs of rows?", found: "It is worse than the champion" },
};

const measured = (name, { mean, limit }) =>
  name === "worse" ? `${number(mean)}, where ${number(limit)} is allowed` : `by ${number(mean)}, where ${number(limit)} is allowed`;

const since = ({ since_s: at }) => (known(at) ? `, since ${clock(at)} (${ago(at)})` : "");

/** A sentence for each test that has given an alarm. */
export const alarms = ({ tests }) =>
  Object.entries(tests)
    .filter(([, test]) => test?.alarm)
    .map(([name, test]) => `${TESTS[name]?.found ?? name}: ${measured(name, test)}${since(test)}.`);

const Evidence = ({ test }) =>
  html`<span class="numeric">${number(test.evidence_nats)} of ${number(test.needed_nats)}</span>
    <${Bar} value=${test.evidence_nats} most=${test.needed_nats} label="evidence, of what is needed" />`;

const COLUMNS = [
  { key: "asks", label: "Test", head: true, cell: ({ name }) => html`<div class="long">${TESTS[name]?.asks ?? name}</div>` },
  { key: "standing", label: "Standing", cell: ({ test }) => (test.alarm ? html`<${Badge} kind="bad">yes<//>` : html`<${Badge} kind="good">not that one knows<//>`) },
  { key: "nats", label: "Evidence, nats", value: ({ test }) => test.evidence_nats, cell: ({ test }) => html`<${Evidence} test=${test} />` },
  { key: "mean", label: "Mean", numeric: true, cell: ({ test }) => number(test.mean) },
  { key: "limit", label: "Limit", numeric: true, cell: ({ test }) => number(test.limit) },
  { key: "rows", label: "Rows", numeric: true, cell: ({ test }) => count(test.rows) },
  { key: "since", label: "Since", cell: ({ test }) => (known(test.since_s) && test.alarm ? moment(test.since_s) : null) },
];

/** The sequential tests: they may be looked at any time. */
export const Tests = ({ version }) => {
  const rows = Object.entries(version.tests).filter(([, test]) => test).map(([name, test]) => ({ name, test }));
  return html`<${Card} title="Tests">
    <${Table} caption="Evidence since the yardstick; an alarm is given where it reaches what is needed" rows=${rows} rowKey=${({ name }) => name} columns=${COLUMNS}
      empty="They begin once the yardstick is learned." />
  <//>`;
};

const surely = ({ change, standard_error: error }) => known(change) && known(error) && Math.abs(change) > 2 * error;

const Parts = ({ title, said }) => {
  const rows = [
    { name: "by moved inputs", part: said.inputs },
    { name: "by a moved relation of labels to inputs", part: said.relation },
  ];
  return html`<${Table} caption=${`${title}: ${number(said.before)} before, ${number(said.after)} now`} rows=${rows} rowKey=${({ name }) => name} columns=${[
      { key: "name", label: "Of the change", head: true, cell: ({ name }) => name },
      { key: "change", label: "Change", numeric: true, cell: ({ part }) => html`${signed(part.change)} <span class="quiet">± ${number(part.standard_error, 2)}</span>` },
      { key: "sure", label: "Beyond chance", cell: ({ part }) => (surely(part) ? "yes, more than two standard errors" : "no") },
    ]} />
    ${said.columns.length > 0 && html`<p>Carried by ${said.columns.map(({ name, share }, at) => html`${at > 0 && ", "}<a key=${name} href=${`#/features/${encodeURIComponent(name)}`}>${name}</a> (${percent(share, 0)})`)}.</p>`}`;
};

const SEGMENTS = [
  { key: "text", label: "Slice, and its loss then → now", head: true, cell: ({ text }) => html`<div class="long">${text}</div>` },
  { key: "rows", label: "Rows now", numeric: true, value: ({ rows }) => rows, cell: ({ rows }) => count(rows) },
  { key: "reference", label: "Rows then", numeric: true, value: (each) => each.reference_rows, cell: (each) => count(each.reference_rows) },
  { key: "loss", label: "Loss", numeric: true, value: ({ loss }) => loss, cell: ({ loss }) => number(loss) },
  { key: "p", label: "p-value", numeric: true, value: (each) => each.p_value, cell: (each) => number(each.p_value, 2) },
];

/** The alerts about this version that say why. */
const reasons = (alerts, { name, version }) =>
  (alerts ?? []).filter((each) => each.monitor === "quality" && each.variant === name && each.version === version && each.state !== "resolved");

const Alert = ({ alert }) =>
  html`<p><${Badge} kind=${alert.state === "firing" ? "bad" : "warn"}>${alert.state}<//> <a href=${`#/alerts/${encodeURIComponent(alert.id)}`}>${alert.title}</a>${alert.reason && html`: ${alert.reason}`}</p>`;

const causeOf = ({ relation_moved: moved }) =>
  moved ? "Labels are not what the inputs make one expect: concept drift." : "No test of labels against the inputs has given an alarm: what moved is not known yet.";

/** What has fallen, why, and where; nothing while all is well. */
export const Causes = ({ version }) => {
  const { data } = useDocument("alerts");
  const { change, segments } = version;
  const told = reasons(data?.alerts, version);
  const fallen = alarms(version).length > 0;
  if (!told.length && !segments.length && !(change && fallen)) return null;
  return html`<${Card} title="Why" kind=${fallen ? "bad" : undefined}>
    ${told.map((alert) => html`<${Alert} key=${alert.id} alert=${alert} />`)}
    ${!told.length && fallen && html`<p>${causeOf(version)}</p>`}
    ${change && html`<${Parts} title="Mean loss" said=${change.loss} /><${Parts} title="Mean label" said=${change.target} />
      <p class="quiet">Of ${percent(change.overlap)} of the rows of now the like was there before${change.overlap < 0.5 && ": too few to tell the two parts well apart"}.</p>`}
    ${segments.length > 0 && html`<${Table} caption="Where the loss rose most (the number of slices is counted in)" rows=${segments} rowKey=${({ text }) => text} columns=${SEGMENTS} />`}
  <//>`;
};
