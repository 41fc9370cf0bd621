// The models' versions: what they are, whether they may serve, what is measured of them; two side by side.
import { useState } from "preact/hooks";
import { useFetched } from "sidecar/store";
import { Badge, Card, Empty, Field, Loaded, Table, html } from "sidecar/ui";
import { NONE, count, moment, number, percent, seconds } from "sidecar/format";
import { known, signed } from "./parts.js";

const LOOK_S = 10;

const KINDS = { approved: "good", rejected: "bad", pending: "neutral" };

/** Whether a version may serve. */
export const Approval = ({ approval }) => html`<${Badge} kind=${KINDS[approval]}>${approval ?? "not in the catalogue"}<//>`;

/** The address of a version's page; `key` is as in fraud/3. */
export const pageOf = (key) => {
  const at = key.lastIndexOf("/");
  return `#/versions/catalogue/${encodeURIComponent(key.slice(0, at))}/${encodeURIComponent(key.slice(at + 1))}`;
};

const QUALITY = "quality.";

/** Training's `auc` stands beside live's `quality.auc`: the two are one measure. `[{name, training, live, difference}]`. */
export const measuresOf = (measures) => {
  const live = new Map(measures.filter((each) => each.name.startsWith(QUALITY) && each.training === null).map((each) => [each.name.slice(QUALITY.length), each.live]));
  const beside = (each) => {
    if (each.live !== null || !live.has(each.name)) return each;
    const now = live.get(each.name);
    return { ...each, live: now, difference: known(now) && known(each.training) ? now - each.training : null };
  };
  const joined = measures.map(beside);
  const taken = new Set(joined.filter((each, at) => each !== measures[at]).map(({ name }) => QUALITY + name));
  return joined.filter(({ name }) => !taken.has(name));
};

const isConstant = ({ name }) => name.endsWith("_best_constant_classifier");

const Numbers = ({ caption, rows, sides, labels, empty, hidden }) =>
  html`<${Table} hidden=${hidden} caption=${caption} rows=${rows} rowKey=${({ name }) => name} empty=${empty} columns=${[
    { key: "name", label: "Name", head: true, value: ({ name }) => name },
    ...sides.map((side, at) => ({ key: side, label: labels[at], numeric: true, value: ({ [side]: value }) => (known(value) ? value : null), cell: ({ [side]: value }) => (typeof value === "string" ? value : number(value)) })),
    { key: "difference", label: "Difference", numeric: true, value: ({ difference }) => difference, cell: ({ difference }) => (known(difference) ? signed(difference) : NONE) },
  ]} />`;

/** Numbers of two sides by name, and their difference; what an answer that is always the same would score is apart. */
export const Beside = ({ rows, ...rest }) => {
  const constant = rows.filter(isConstant);
  return html`<${Numbers} ...${rest} rows=${rows.filter((each) => !isConstant(each))} />
    ${constant.length > 0 && html`<details><summary>What the best answer that is always the same would score</summary><${Numbers} ...${rest} rows=${constant} hidden /></details>`}`;
};

const serving = ({ deployments }) => deployments.filter(([, , until]) => until === null).map(([variant, , , , , , weight]) => `${variant}, ${number(weight)} %`).join("; ");

const TOLD = ["f1", "rmse", "accuracy"]; // The first that a version has stands for its quality in the list.

const score = (live) => {
  const name = TOLD.find((each) => known(live[QUALITY + each]));
  return name && `${name} ${number(live[QUALITY + name])}`;
};

const VERSIONS = (group) => [
  { key: "number", label: "Version", head: true, value: ({ number: name }) => name, cell: ({ number: name }) => html`<a href=${pageOf(`${group}/${name}`)}>${group}/${name}</a>` },
  { key: "approval", label: "Approval", value: ({ approval }) => approval, cell: ({ approval }) => html`<${Approval} approval=${approval} />` },
  { key: "serving", label: "Serves", value: serving, cell: (version) => serving(version) || NONE },
  { key: "aliases", label: "Aliases", cell: ({ aliases }) => aliases.join(", ") },
  { key: "framework", label: "Framework", value: ({ draft }) => draft.framework },
  { key: "requests", label: "Requests", numeric: true, value: ({ live }) => live.requests, cell: ({ live }) => count(live.requests) },
  { key: "errors", label: "Errors", numeric: true, value: ({ live }) => live.error_ratio, cell: ({ live }) => percent(live.error_ratio) },
  { key: "p99", label: "p99", numeric: true, value: ({ live }) => live.duration_p99_s, cell: ({ live }) => seconds(live.duration_p99_s) },
  { key: "quality", label: "Live quality", cell: ({ live }) => score(live) },
  { key: "registered", label: "Registered", value: (each) => each.registered_s, cell: (each) => html`${moment(each.registered_s)} <span class="quiet">by ${each.by}</span>` },
];

const PARAMETERS = (labels) => [
  { key: "name", label: "Parameter", head: true, value: ({ name }) => name },
  { key: "a", label: labels[0], cell: ({ a }) => a },
  { key: "b", label: labels[1], cell: ({ b }) => b },
  { key: "equal", label: "Same", cell: ({ equal }) => (equal ? "yes" : html`<${Badge} kind="warn">differs<//>`) },
];

const Compared = ({ group, a, b }) => {
  const document = useFetched(`models/${encodeURIComponent(group)}/compare?${new URLSearchParams({ a, b })}`, LOOK_S);
  const labels = [`version ${a}`, `version ${b}`];
  return html`<${Loaded} known=${document} what="The comparison">${(both) => html`
    <${Table} caption="Parameters of the training" rows=${both.parameters} rowKey=${({ name }) => name} columns=${PARAMETERS(labels)} empty="Neither has parameters." />
    <${Beside} caption="Metrics of the training" rows=${both.metrics} sides=${["a", "b"]} labels=${labels} empty="Neither has metrics." />
    <${Beside} caption="Measured live" rows=${both.live} sides=${["a", "b"]} labels=${labels} empty="Neither has served." />`}<//>`;
};

const Picked = ({ label, names, value, onPick }) =>
  html`<${Field} label=${label}>${(id) => html`<select id=${id} value=${value} onChange=${(event) => onPick(event.currentTarget.value)}>${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select>`}<//>`;

const Comparing = ({ group, names }) => {
  const [a, setA] = useState(names[1]);
  const [b, setB] = useState(names[0]);
  return html`<${Card} title="Two versions side by side">
    <div class="controls"><${Picked} label="Version" names=${names} value=${a} onPick=${setA} /><${Picked} label="and version" names=${names} value=${b} onPick=${setB} /></div>
    <${Compared} group=${group} a=${a} b=${b} />
  <//>`;
};

const Model = ({ group, served, picked }) => {
  const document = useFetched(`models/${encodeURIComponent(group)}/versions`, LOOK_S);
  const listed = ({ versions }) => {
    const names = versions.map((each) => each.number).sort((a, b) => b - a).map(String);
    return html`<${Card} title=${`Versions of ${group}`} actions=${served && html`<span class="quiet">this sidecar stands in front of it</span>`}>${picked}<${Table} caption=${`Versions of ${group}`} hidden rows=${versions} rowKey=${(each) => String(each.number)} columns=${VERSIONS(group)} sort=${{ key: "number", descending: true }} /><//>
      ${names.length > 1 && html`<${Comparing} group=${group} names=${names} />`}`;
  };
  return html`<${Loaded} known=${document} what="The versions">${listed}<//>`;
};

const NO_CATALOGUE = html`<${Card} title="The catalogue"><${Empty} title="No version is written down yet" code=${`sidecar versions register fraud --artefact s3://models/fraud/1 --trained-on s3://data/may.parquet
sidecar versions approve fraud 1 --why "better on all slices"`}>
  Versions are numbered, with what they are, where they come from and whether they may serve. The sidecar's own variants are of the model that <code>endpoint</code> names.
<//><//>`;

const Models = ({ models, served }) => {
  const [chosen, choose] = useState(models.includes(served) ? served : models[0]);
  const picked = models.length > 1 && html`<${Picked} label="Model" names=${models} value=${chosen} onPick=${choose} />`;
  return html`<${Model} key=${chosen} group=${chosen} served=${chosen === served} picked=${picked} />`;
};

/** All models of the catalogue. */
export const Catalogue = () => {
  const document = useFetched("models", LOOK_S);
  return html`<${Loaded} known=${document} what="The catalogue" missing=${NO_CATALOGUE}>${(data) => (data.models.length ? html`<${Models} ...${data} />` : NO_CATALOGUE)}<//>`;
};
