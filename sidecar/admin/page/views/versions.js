// Who serves whom, which version is better, and where it comes from; `#/versions/<part>` opens one part.
import { useEffect, useState } from "preact/hooks";
import { useDocument } from "sidecar/store";
import { Card, Empty, Loaded, Table, Tabs, html } from "sidecar/ui";
import { moment } from "sidecar/format";
import { Split } from "./split.js";
import { Rollout } from "./rollout.js";
import { Experiments } from "./experiments.js";
import { Shadow } from "./shadow.js";
import { Catalogue } from "./catalogue.js";
import { VersionPage } from "./version.js";

const Serving = () => {
  const known = useDocument("routes");
  return html`<${Loaded} known=${known} what="The routes">${(routes) => html`<${Split} routes=${routes} /><${Rollout} routes=${routes} />`}<//>`;
};

const CHANGES = [
  { key: "revision", label: "Revision", numeric: true, value: ({ revision }) => revision },
  { key: "time", label: "When", value: ({ time }) => time, cell: ({ time }) => moment(time) },
  { key: "who", label: "Who", value: ({ who }) => who },
  { key: "what", label: "What", cell: ({ what }) => html`<div class="long">${what}</div>` },
  { key: "why", label: "Why", cell: ({ why }) => why && html`<div class="long">${why}</div>` },
];

const Audit = () => {
  const known = useDocument("routes/changes");
  return html`<${Card} title="Who changed what, and why">
    <${Loaded} known=${known} what="The changes">${({ changes }) => html`<${Table} caption="Changes of the routes, the latest first" hidden rows=${changes} rowKey=${({ revision }) => String(revision)} columns=${CHANGES} />`}<//>
  <//>`;
};

const PARTS = [
  ["serving", "Serving", () => html`<${Serving} />`],
  ["experiments", "Experiments", () => html`<${Experiments} />`],
  ["shadow", "Shadow", () => html`<${Shadow} />`],
  ["audit", "Audit", () => html`<${Audit} />`],
  ["catalogue", "Catalogue", () => html`<${Catalogue} />`],
];

const NO_SUCH = html`<${Empty} title="No version is called so">Expected an address as #/versions/catalogue/fraud/3. <a href="#/versions/catalogue">All versions</a><//>`;

/** `catalogue/fraud/3` is a version's page. */
const versionOf = (parameter) => /^catalogue\/(.+)\/([^/]+)$/.exec(parameter)?.slice(1);

const partNow = () => {
  const [, asked] = /^#\/versions\/([^/]*)$/.exec(location.hash) ?? [];
  return PARTS.some(([id]) => id === asked) ? asked : PARTS[0][0];
};

/** The part that the address names. Choosing a tab is no journey: the focus stays on it, and the address only follows. */
const usePart = () => {
  const [part, setPart] = useState(partNow);
  useEffect(() => {
    const moved = () => setPart(partNow());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  const choose = (id) => {
    history.replaceState(null, "", `#/versions/${id}`);
    setPart(id);
  };
  return [part, choose];
};

const Parts = () => {
  const [part, choose] = usePart();
  const tabs = PARTS.map(([id, label, content]) => ({ id, label, content }));
  return html`<h1>Versions</h1><${Tabs} label="Parts" tabs=${tabs} selected=${part} onSelect=${choose} />`;
};

/** @param {{parameter: string}} props One of the parts, or `catalogue/<model>/<number>`. */
export default function View({ parameter }) {
  const version = versionOf(parameter);
  if (version) return html`<${VersionPage} key=${parameter} group=${version[0]} name=${version[1]} />`;
  return parameter.startsWith("catalogue/") ? html`<h1>Versions</h1>${NO_SUCH}` : html`<${Parts} />`;
}
