// Fairness: each metric of each group beside the range that it may be in; what breaks its range comes first.
import { useState } from "preact/hooks";
import { useDocument } from "sidecar/store";
import { Badge, Card, Empty, Facts, Loaded, Table, html } from "sidecar/ui";
import { count, number } from "sidecar/format";
import { ByVersion, IntervalLine, interval, known, spanning } from "./parts.js";

/** What each of Clarify's metrics asks, in plain words; d is the group, a are all others. */
const MEANING = {
  CI: "Are there as many rows of the group as of all others? Above 0: fewer.",
  DPL: "Do labels have the good outcome as often? Above 0: the group has it less often.",
  KL: "How differently are labels spread? 0: alike.",
  JS: "How differently are labels spread, the same both ways? 0: alike.",
  LP: "How far apart are the shares of labels, as a distance? 0: alike.",
  TVD: "Which share of labels would have to change to make both alike?",
  KS: "The greatest difference of the shares of any label.",
  CDDL: "Within like rows (strata), has the group more of the bad labels than of the good ones? Above 0: yes.",
  DPPL: "Does the model give the good answer as often? Above 0: less often to the group.",
  DI: "The share of good answers of the group, as a multiple of all others'. 1: alike; below 1: the group gets fewer.",
  DCAcc: "Good labels for each good answer: does the model accept either side as it deserves? 0: alike.",
  DCR: "Bad labels for each bad answer: does the model reject either side as it deserves? 0: alike.",
  RD: "Of those with the good label, are as many found? Above 0: fewer of the group.",
  SD: "Of those with the bad label, are as many recognised? Above 0: fewer of the others.",
  AD: "Is the model right as often? Above 0: less often about the group.",
  DAR: "Are good answers right as often? Above 0: less often for the group.",
  DRR: "Are bad answers right as often? Above 0: more often for the group.",
  TE: "Are wrong answers as often too good as too bad on either side? 0: alike.",
  CDDPL: "Within like rows (strata), has the group more of the bad answers than of the good ones? Above 0: yes.",
  GE: "How unequally are all rows, of whatever group, served by wrong answers? 0: equally.",
  FT: "Do rows of the group get other answers than those of others that are most like them? 0: as many either way.",
};

const UNBIASED = { DI: 1 };

const reportOf = (analysis, group, part) =>
  analysis[part]?.facets?.[group.facet]?.find(({ value_or_threshold: value }) => String(value) === String(group.value_or_threshold))?.metrics ?? [];

const both = ["pre_training_bias_metrics", "post_training_bias_metrics"];

const violated = (version, group, name) =>
  version.violations.find((each) => each.facet === group.facet && String(each.facet_value) === String(group.value_or_threshold) && each.metric_name === name);

const rank = ({ violation, allowed, value }) => (violation ? 3 : allowed ? 2 : known(value) ? 1 : 0);

/** Metrics of a group, those that break their range first, then those that have one. */
const metricsOf = (version, group) => {
  const lifetime = new Map(both.flatMap((part) => reportOf(version.lifetime, group, part)).map(({ name, value }) => [name, value]));
  const rows = both.flatMap((part) =>
    reportOf(version.window, group, part).map(({ name, description, value }) => ({
      name, description, value, part,
      lifetime: lifetime.get(name) ?? null,
      ends: group.intervals[name] ?? null,
      allowed: group.allowed && (group.allowed[name] ?? null),
      violation: violated(version, group, name) ?? null,
    })));
  return rows.sort((a, b) => rank(b) - rank(a));
};

const sentence = ({ name, value, ends, allowed, violation }) =>
  `${name} ${number(value)}${ends ? `, between ${interval(ends)}` : ""}${allowed ? `, allowed ${interval(allowed)}` : ""}${violation ? ": beyond its range" : ""}`;

const Line = ({ metric, domain }) => {
  if (!known(metric.value)) return html`<span class="quiet">undefined</span>`;
  const [low, high] = metric.ends ?? [Number.NaN, Number.NaN];
  return html`<${IntervalLine} value=${metric.value} low=${low} high=${high} allowed=${metric.allowed} nothing=${UNBIASED[metric.name] ?? 0} domain=${domain} bad=${Boolean(metric.violation)} label=${sentence(metric)} />`;
};

/** Each metric has a line of its own span: DI is a ratio, TE may be anything. */
const spanOf = ({ name, value, ends, allowed }) => spanning([value, ...(ends ?? []), ...(allowed ?? []), UNBIASED[name] ?? 0]);

const standing = ({ violation, allowed, value, ends }) => {
  if (violation) return html`<${Badge} kind="bad">beyond its range<//>`;
  if (!known(value)) return html`<${Badge}>unknown<//>`;
  if (!allowed) return allowed === null ? html`<span class="quiet">no range</span>` : null;
  return ends && known(ends[0]) && within(ends, allowed) ? html`<${Badge} kind="good">surely within<//>` : html`<${Badge}>not surely beyond<//>`;
};

const within = ([low, high], [least, most]) => low >= (known(least) ? least : -Infinity) && high <= (known(most) ? most : Infinity);

const WORDY = { minWidth: "14rem" };

const COLUMNS = [
  { key: "name", label: "Metric", head: true, value: ({ name }) => name },
  { key: "standing", label: "Standing", value: (metric) => rank(metric), cell: standing },
  { key: "line", label: "Interval and range", cell: (metric) => html`<${Line} metric=${metric} domain=${spanOf(metric)} />` },
  { key: "value", label: "Window", numeric: true, value: ({ value }) => value, cell: ({ value, ends }) => html`${number(value)}${ends && html`<div class="quiet">${interval(ends)}</div>`}` },
  { key: "allowed", label: "Allowed", numeric: true, cell: ({ allowed }) => allowed && interval(allowed) },
  { key: "lifetime", label: "Since the start", numeric: true, value: ({ lifetime }) => lifetime, cell: ({ lifetime }) => number(lifetime) },
  { key: "meaning", label: "What it asks", cell: ({ name, description }) => html`<div style=${WORDY}><strong>${description}.</strong> ${MEANING[name]}</div>` },
];

const PARTS = { pre_training_bias_metrics: "Of the labels", post_training_bias_metrics: "Of the answers" };

const Legend = () =>
  html`<p class="legend">● the metric of the current window with its interval; the upright line is no bias; the dashed box is the range that is allowed; a ■ breaks it: its whole interval lies beyond.</p>`;

const Group = ({ version, group }) => {
  const metrics = metricsOf(version, group);
  const broken = metrics.filter(({ violation }) => violation);
  const name = `${group.facet} ${group.value_or_threshold}`;
  const unknown = metrics.every(({ value }) => !known(value));
  return html`<${Card} title=${name} kind=${broken.length ? "bad" : undefined} actions=${broken.length ? html`<${Badge} kind="bad">${broken.length} beyond range<//>` : html`<${Badge} kind=${unknown ? "neutral" : "good"}>${unknown ? "nothing known yet" : "no range broken"}<//>`}>
    <p class="quiet">${count(group.rows)} rows of the group against ${count(group.other_rows)} of all others.</p>
    ${unknown && html`<p>Below <code>least_rows</code> labelled rows in either group nothing is told: a number of so few rows is no verdict.</p>`}
    ${broken.map(({ violation }) => html`<p key=${violation.metric_name}><${Badge} kind="bad">${violation.metric_name}<//> ${violation.description}.</p>`)}
    ${inOrder(metrics).map((part) => html`<${Table} key=${part} caption=${`${PARTS[part]}: ${name}`} rows=${metrics.filter((each) => each.part === part)} rowKey=${(metric) => metric.name} columns=${COLUMNS} />`)}
  <//>`;
};

/** The table with what breaks its range comes first; else that of the answers, which the model is to blame for. */
const inOrder = (metrics) => {
  const worst = (part) => Math.max(0, ...metrics.filter((each) => each.part === part).map(rank));
  return [...both].reverse().sort((a, b) => worst(b) - worst(a));
};

const severity = (version, group) => version.violations.filter((each) => each.facet === group.facet && String(each.facet_value) === String(group.value_or_threshold)).length;

const GROUPS = 10;

const Version = ({ version }) => {
  const [shown, setShown] = useState(GROUPS);
  const groups = [...version.groups].sort((a, b) => severity(version, b) - severity(version, a));
  return html`<${Facts} facts=${[["Labelled rows", count(version.labelled)], ["Groups", count(groups.length)], ["Ranges broken", count(version.violations.length)]]} />
    <${Legend} />
    ${groups.slice(0, shown).map((group) => html`<${Group} key=${`${group.facet}/${group.value_or_threshold}`} version=${version} group=${group} />`)}
    ${groups.length > shown && html`<button type="button" onClick=${() => setShown(shown + GROUPS)}>Show more groups</button>`}`;
};

const NO_MONITOR = html`<${Empty} title="Nobody watches fairness" code=${`model: {task: binary, positive: "1"}
state: /var/lib/sidecar
monitors:
  - {kind: bias, facets: [{feature: gender, values: [f]}], allowed: {DPPL: [-0.1, 0.1], DI: [0.8, 1.25]}}`}>
  A monitor of kind <code>bias</code> compares groups, told by a feature, a header field or what is posted with labels: what the model answers them, and how often it is right about them.
<//>`;

const NO_LABELS = html`<${Empty} title="No labelled rows yet" code=${`curl -s ${location.origin}/v1/labels -H 'Content-Type: application/json' \\
  -d '[{"id": "<request id>", "label": 1, "groups": {"gender": "f"}}]'`}>
  Groups are compared by rows whose label has come.
<//>`;

/** @param {{parameter: string}} props The variant to begin with, or empty. */
export default function View({ parameter }) {
  const document = useDocument("bias");
  const shown = ({ variants }) => (variants.length ? html`<${ByVersion} variants=${variants} chosen=${parameter}>${(version) => html`<${Version} version=${version} />`}<//>` : NO_LABELS);
  return html`<h1>Bias</h1><${Loaded} known=${document} what="Bias" missing=${NO_MONITOR}>${shown}<//>`;
}
