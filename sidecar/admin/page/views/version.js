// A version's page: what it is, whether it may serve, what is measured of it, and where it comes from.
import { useState } from "preact/hooks";
import { send, useFetched } from "sidecar/store";
import { Card, Facts, Link, Loaded, Table, html } from "sidecar/ui";
import { moment, number } from "sidecar/format";
import { Approval, Beside, measuresOf } from "./catalogue.js";
import { Lineage } from "./lineage.js";
import { Asked, byWhom } from "./ordering.js";

const LOOK_S = 10;

const DECISIONS = [
  { key: "approval", label: "Decision", head: true, cell: ([approval]) => html`<${Approval} approval=${approval} />` },
  { key: "time", label: "When", cell: ([, at]) => moment(at) },
  { key: "by", label: "By", cell: ([, , by]) => by },
  { key: "why", label: "Why", cell: ([, , , why]) => html`<div class="long">${why}</div>` },
];

const DEPLOYMENTS = [
  { key: "variant", label: "Variant", head: true, cell: ([variant]) => variant },
  { key: "since", label: "Since", cell: ([, since]) => moment(since) },
  { key: "until", label: "Until", cell: ([, , until]) => (until === null ? "now" : moment(until)) },
  { key: "weight", label: "Percent", numeric: true, cell: ([, , , , , , weight]) => number(weight) },
  { key: "by", label: "By", cell: ([, , , by]) => by },
  { key: "why", label: "Why", cell: ([, , , , why]) => html`<div class="long">${why}</div>` },
  { key: "ended", label: "Ended", cell: ([, , , , , , , by, why]) => (by || why) && html`<div class="long">${by}${why && `: ${why}`}</div>` },
];

const VERBS = {
  approved: { button: "Approve", says: "It may serve: rollouts begin with it, and it is what a rejected one gives its traffic to." },
  rejected: { button: "Reject", says: "It must not serve: where it does, its traffic goes to the latest approved version within seconds.", danger: true },
};

const Deciding = ({ path, what, approval, onClose, onDone }) => {
  const { button, says, danger } = VERBS[approval];
  const act = async (why) => {
    await send("POST", `${path}/approval`, { approval, why, by: byWhom() });
    onDone();
  };
  return html`<${Asked} title=${`${button} ${what}`} action=${button} danger=${danger} act=${act} onClose=${onClose}><p>${says}</p><//>`;
};

const Decide = ({ version, path, again }) => {
  const [asked, ask] = useState(null);
  const what = `${version.group}/${version.number}`;
  const open = Object.keys(VERBS).filter((approval) => approval !== version.approval);
  return html`${open.map((approval) => html`<button type="button" key=${approval} class=${VERBS[approval].danger && "danger"} onClick=${() => ask(approval)}>${VERBS[approval].button}</button>`)}
    ${asked && html`<${Deciding} path=${path} what=${what} approval=${asked} onClose=${() => ask(null)} onDone=${again} />`}`;
};

const Parameters = ({ parameters }) =>
  Object.keys(parameters).length > 0 && html`<${Card} title="Parameters of the training"><${Facts} facts=${Object.entries(parameters)} /><//>`;

const About = ({ version, path, again }) => {
  const { draft } = version;
  return html`<${Card} title="What it is" actions=${html`<${Decide} version=${version} path=${path} again=${again} />`}>
    <${Facts} facts=${[
      ["Approval", html`<${Approval} approval=${version.approval} />`],
      ["Artefact", draft.artefact && html`<${Link} href=${draft.artefact} />`],
      ["Digest", draft.digest && html`<code>${draft.digest}</code>`],
      ["Framework", draft.framework],
      version.aliases.length > 0 && ["Aliases", version.aliases.join(", ")],
      ["Registered", html`${moment(version.registered_s)} <span class="quiet">by ${version.by}</span>`],
      draft.reference && ["Reference", draft.reference],
      draft.notes && ["Notes", draft.notes],
    ]} />
  <//>`;
};

const Whole = ({ version, path, again }) => {
  const runs = useFetched(`models/${encodeURIComponent(version.group)}/runs`);
  return html`<${About} ...${{ version, path, again }} />
    <${Card} title="Measured live, beside training">
      <${Beside} caption=${html`Live numbers are of ${moment(version.live_s)}`} rows=${measuresOf(version.measures)} sides=${["training", "live"]} labels=${["Training", "Live"]} empty="Nothing has been measured yet." />
    <//>
    <${Lineage} version=${version} runs=${runs.data?.runs ?? []} />
    <${Parameters} parameters=${version.draft.parameters} />
    <${Card} title="Decisions"><${Table} caption="Decisions, the latest first" hidden rows=${[...version.decisions].reverse()} rowKey=${(each) => each.join()} columns=${DECISIONS} empty="Nobody has decided yet whether it may serve." /><//>
    <${Card} title="Deployments"><${Table} caption="Deployments, the latest first" hidden rows=${[...version.deployments].reverse()} rowKey=${(each) => each.join()} columns=${DEPLOYMENTS} empty="It has not served here." /><//>`;
};

/** @param {{group: string, name: string}} props The model, and the version's number. */
export const VersionPage = ({ group, name }) => {
  const path = `models/${encodeURIComponent(group)}/versions/${encodeURIComponent(name)}`;
  const document = useFetched(path, LOOK_S);
  return html`<p><a href="#/versions/catalogue">← All versions</a></p><h1>${group}/${name}</h1>
    <${Loaded} known=${document} what="This version">${(version) => html`<${Whole} version=${version} path=${path} again=${document.again} />`}<//>`;
};
