// The rollout: its steps and where it stands, its guardrails, and what one may order.
import { useState } from "preact/hooks";
import { Badge, Card, Empty, Facts, Table, html } from "sidecar/ui";
import { ago, moment, number } from "sidecar/format";
import { Asked, change } from "./ordering.js";

const PHASES = {
  waiting: ["neutral", "waiting", "Nothing of this version has begun."],
  stepping: ["good", "stepping", "The next step is taken by itself."],
  held: ["warn", "held", "It stays until somebody says otherwise; guardrails still hold."],
  promoted: ["good", "promoted", "The challenger has everything; the way back is an order."],
  rolled_back: ["bad", "rolled back", "The champion has everything again; only an order begins this version once more."],
};

/** What may be ordered in which phase; all else is refused anyway. */
const ORDERS = {
  waiting: ["start"],
  stepping: ["hold", "promote", "rollback"],
  held: ["resume", "promote", "rollback"],
  promoted: ["rollback"],
  rolled_back: ["start"],
};

const WORDS = {
  start: { button: "Start", title: "Start the rollout", says: ({ challenger, steps }) => `${challenger} gets ${number(steps[0])} % of the traffic of both, and more as guardrails allow.` },
  hold: { button: "Hold", title: "Hold the rollout", says: ({ challenger, percent }) => `${challenger} keeps its ${number(percent)} % until somebody says otherwise.` },
  resume: { button: "Resume", title: "Resume the rollout", says: () => "The next step is taken when its conditions hold." },
  promote: { button: "Promote", title: "Promote the challenger", says: ({ challenger }) => `${challenger} gets all of the traffic at once, and is judged no more.` },
  rollback: { button: "Roll back", title: "Roll back", says: ({ champion }) => `${champion} gets everything from the next request on.`, danger: true },
};

const GUARDS = {
  fine: ["good", "surely within its margin"],
  unknown: ["neutral", "neither surely within nor beyond"],
  missing: ["warn", "too little data to judge"],
  breach: ["bad", "surely beyond its margin"],
};

const before = { true: "done", false: "to come" };

const standingOf = ({ phase, step }, at) => {
  if (phase === "waiting" || phase === "rolled_back") return phase === "rolled_back" && at <= step ? "undone" : "to come";
  if (phase === "promoted") return "done";
  return at === step ? "here" : before[at < step];
};

const BADGES = { done: "good", here: "warn", "to come": "neutral", undone: "bad" };

const Steps = ({ rollout }) => {
  const promoted = rollout.phase === "promoted" ? "done" : "to come";
  return html`<ol aria-label="Steps" style=${{ display: "flex", flexWrap: "wrap", gap: ".4rem 1.2rem", padding: 0, listStyle: "none" }}>
    ${rollout.steps.map((part, at) => html`<li key=${part} aria-current=${standingOf(rollout, at) === "here" ? "step" : undefined}><strong>${number(part)} %</strong> <${Badge} kind=${BADGES[standingOf(rollout, at)]}>${standingOf(rollout, at)}<//></li>`)}
    <li><strong>100 %</strong> <${Badge} kind=${BADGES[promoted]}>${promoted}<//></li>
  </ol>`;
};

const GUARDRAILS = [
  { key: "name", label: "Guardrail", head: true, value: ({ name }) => name },
  { key: "word", label: "Word", value: ({ word }) => word, cell: ({ word }) => html`<${Badge} kind=${GUARDS[word]?.[0]}>${word}<//> <span class="quiet">${GUARDS[word]?.[1]}</span>` },
  { key: "sentence", label: "What is seen", cell: ({ sentence }) => html`<div class="long">${sentence}</div>` },
];

const Ordering = ({ order, rollout, revision, onClose }) => {
  const { title, button, says, danger } = WORDS[order];
  const act = (why) => change("rollout", { order, why }, revision);
  return html`<${Asked} title=${title} action=${button} danger=${danger} act=${act} onClose=${onClose}><p>${says(rollout)}</p><//>`;
};

const Orders = ({ phase, ask }) =>
  (ORDERS[phase] ?? []).map((order) => html`<button type="button" key=${order} class=${WORDS[order].danger && "danger"} onClick=${() => ask(order)}>${WORDS[order].button}</button>`);

const NO_ROLLOUT = html`<${Card} title="The rollout"><${Empty} title="No rollout is configured" code=${`rollout:
  champion: champion
  challenger: challenger
  steps: [1, 5, 25, 50]
  guardrails: [{kind: errors, margin: 0.01}, {kind: latency, quantile: 0.99, margin_ratio: 0.25}]
state: /var/lib/sidecar`}>
  A rollout takes a challenger to all of the traffic in steps, and back at once where it does harm.
<//><//>`;

const kindOf = (phase) => ({ rolled_back: "bad", held: "warn" })[phase];

/** The rollout; `routes` is /v1/routes. */
export const Rollout = ({ routes: { rollout, revision } }) => {
  const [asked, ask] = useState(null);
  if (!rollout) return NO_ROLLOUT;
  const [kind, word, meaning] = PHASES[rollout.phase] ?? ["neutral", rollout.phase, ""];
  return html`<${Card} title=${`The rollout of ${rollout.challenger}${rollout.version && `, version ${rollout.version}`}`} kind=${kindOf(rollout.phase)} actions=${html`<${Orders} phase=${rollout.phase} ask=${(order) => ask({ order, rollout, revision })} />`}>
    <p><${Badge} kind=${kind}>${word}<//> ${meaning}</p>
    <${Steps} rollout=${rollout} />
    ${rollout.reason && html`<p><strong>Why it is there:</strong> ${rollout.reason}.</p>`}
    ${rollout.awaited && html`<p><strong>Waits for:</strong> ${rollout.awaited}.</p>`}
    <${Facts} facts=${[
      ["Champion", rollout.champion],
      ["Challenger", rollout.challenger],
      ["The challenger has", `${number(rollout.percent)} % of both`],
      rollout.since > 0 && ["There since", html`${moment(rollout.since)} <span class="quiet">(${ago(rollout.since)})</span>`],
    ]} />
    ${rollout.guardrails.length > 0 && html`<${Table} caption="Guardrails: a breach rolls back" rows=${rollout.guardrails} rowKey=${({ name }) => name} columns=${GUARDRAILS} />`}
    ${asked && html`<${Ordering} ...${asked} onClose=${() => ask(null)} />`}
  <//>`;
};
