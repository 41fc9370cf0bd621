// What was found and is worth telling: what, why, since when, carried by what; and silence for a while.
import { useEffect, useRef, useState } from "preact/hooks";
import { put, send, useDocument } from "sidecar/store";
import { Badge, Button, Card, Empty, Facts, Loaded, Table, Tabs, html } from "sidecar/ui";
import { NONE, ago, count, moment, number, percent, unix } from "sidecar/format";

const SILENCES = [
  ["1 h", 3600],
  ["8 h", 8 * 3600],
  ["24 h", 24 * 3600],
  ["a week", 7 * 86400],
];

const STATES = { firing: "bad", pending: "warn", resolved: "good" };

const CAUSES = {
  inputs: "the inputs have moved",
  relation: "concept drift: labels are not what the inputs make one expect",
  both: "the inputs have moved, and labels are not what even these make one expect",
  model: "the model answers otherwise than it did",
  pipeline: "the data are broken: missing, of another type, or far beyond the reference",
};

const silencedUntil = ({ silenced_until: until }, nowS = Date.now() / 1e3) => (unix(until) > nowS ? unix(until) : null);

const silence = (alert, list) => async (seconds) => {
  const now = await send("POST", `alerts/${encodeURIComponent(alert.id)}/silence`, { seconds });
  put("alerts", { alerts: list.map((each) => (each.id === now.id ? now : each)) });
};

const Silence = ({ alert, act }) => {
  const until = silencedUntil(alert);
  return html`<div class="actions" role="group" aria-label=${`Silence: ${alert.title}`}>
    ${
      until
        ? html`<span>Channels are told nothing of it until ${moment(until)} (${ago(until)})</span><${Button}
          act=${() => act(0)}>End silence<//>`
        : html`<span class="quiet">Silence for</span>${SILENCES.map(([word, seconds]) => html`<${Button} key=${word}
          act=${() => act(seconds)}>${word}<//>`)}`
    }
  </div>`;
};

const hasPage = ({ subject }) => subject === "features" || subject === "predictions";

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

const carriers = (alert) => [
  {
    key: "name",
    label: "Carried by",
    head: true,
    value: ({ name }) => name,
    cell: ({ name }) =>
      hasPage(alert) ? html`<a href=${`#/${alert.subject}/${encodeURIComponent(name)}`}>${name}</a>` : name,
  },
  {
    key: "share",
    label: "Part of it",
    numeric: true,
    value: ({ share }) => share,
    cell: ({ share }) => percent(share),
  },
  { key: "text", label: "Change", cell: ({ text }) => html`<div class="change">${text}</div>` },
  {
    key: "statistic",
    label: "Statistic",
    numeric: true,
    value: ({ statistic }) => statistic,
    cell: ({ statistic, threshold }) =>
      statistic === null ? NONE : `${number(statistic)}${threshold === null ? "" : ` of ${number(threshold)}`}`,
  },
  {
    key: "nats",
    label: "Evidence, nats",
    numeric: true,
    value: (row) => row.evidence_nats,
    cell: (row) => (row.evidence_nats === null ? NONE : `${number(row.evidence_nats)} of ${number(row.needed_nats)}`),
  },
  { key: "since", label: "Since", cell: ({ since }) => moment(since) },
];

const Times = ({ alert }) =>
  html`<${Facts} facts=${[
    ["Most likely began", moment(alert.since)],
    ["First seen", moment(alert.pending)],
    alert.fired && ["Fires since", moment(alert.fired)],
    alert.gone && ["Gone since", moment(alert.gone)],
    alert.resolved && ["Resolved", moment(alert.resolved)],
    ["Variant", `${alert.variant}${alert.version && `, version ${alert.version}`}`],
    ["Monitor", `${alert.monitor}, ${alert.check}`],
    ["Rows", `${count(alert.rows)}${alert.reference_rows ? `, against ${count(alert.reference_rows)}` : ""}`],
  ]} />`;

const Alert = ({ alert, act, chosen }) => {
  const place = useRef(null);
  useEffect(() => {
    if (chosen) place.current.scrollIntoView({ block: "start" });
  }, [chosen]);
  const badges = html`<${Badge} kind=${STATES[alert.state]}>${alert.state}<//><${Badge}
    kind=${alert.severity === "critical" ? "bad" : "neutral"}>${alert.severity}<//>
    ${silencedUntil(alert) && html`<${Badge}>silenced<//>`}`;
  return html`<div ref=${place} class="alert"><${Card} title=${alert.title}
    kind=${alert.state === "resolved" ? undefined : STATES[alert.state]} actions=${badges}>
    ${alert.cause && html`<p><strong>${sentence(CAUSES[alert.cause] ?? alert.cause)}</strong>${
      hasPage(alert) && alert.reason && ` ${sentence(alert.reason)}`
    }</p>`}
    ${!hasPage(alert) && html`<p>${alert.text}</p>`}
    <${Times} alert=${alert} />
    <details open=${chosen || alert.state === "firing"}>
      <summary>What carries it (${count(alert.features.length + alert.features_omitted)})</summary>
      <${Table} caption=${`What carries ${alert.title}`} hidden rows=${alert.features} columns=${carriers(alert)}
        rowKey=${({ name }) => name} limit=${20} />
      ${alert.features_omitted > 0 && html`<p class="quiet">and ${count(alert.features_omitted)} more</p>`}
    </details>
    ${hasPage(alert) && html`<details><summary>As channels are told it</summary><p>${alert.text}</p></details>`}
    ${alert.state !== "resolved" && html`<${Silence} alert=${alert} act=${act} />`}
  <//></div>`;
};

const QUIET = html`<p><${Badge} kind="good">nothing holds<//> What was found is over.</p>`;

const NONE_YET = html`<${Empty} title="Nothing has been found yet" code=${`monitors: [{kind: data}]
alerts: {channels: [{kind: webhook, url: "http://retrain.svc/hook"}]}`}>
  An alert comes when data, quality or fairness has changed for long enough, and goes when that is over. Channels tell
    it to people and machines.
<//>`;

const SHOWN = 20;

const List = ({ alerts, all, parameter, none }) => {
  const [shown, setShown] = useState(SHOWN);
  if (!alerts.length) return none;
  return html`${alerts.slice(0, shown).map((alert) => html`<${Alert} key=${alert.id} alert=${alert}
    act=${silence(alert, all)} chosen=${alert.id === parameter} />`)}
    ${alerts.length > shown && html`<button type="button"
      onClick=${() => setShown(shown + SHOWN)}>Show ${Math.min(SHOWN, alerts.length - shown)} more</button>`}`;
};

const Alerts = ({ alerts, parameter }) => {
  // One that was asked for comes first, whatever its place.
  const ordered = [...alerts].sort(
    (a, b) => (b.id === parameter) - (a.id === parameter) || (b.state === "firing") - (a.state === "firing"),
  );
  const now = ordered.filter(({ state }) => state !== "resolved");
  const over = ordered.filter(({ state }) => state === "resolved");
  const [tab, choose] = useState(over.some(({ id }) => id === parameter) ? "over" : "now");
  const tabs = [
    {
      id: "now",
      label: `Now (${now.length})`,
      content: () =>
        html`<${List} alerts=${now} all=${alerts} parameter=${parameter} none=${over.length ? QUIET : NONE_YET} />`,
    },
    {
      id: "over",
      label: `Resolved (${over.length})`,
      content: () =>
        html`<${List} alerts=${over} all=${alerts} parameter=${parameter} none=${html`<p class="quiet">None has been
          resolved yet.</p>`} />`,
    },
  ];
  return html`<${Tabs} label="Alerts" tabs=${tabs} selected=${tab} onSelect=${choose} />`;
};

/** @param {{parameter: string}} props An alert's id, or empty. */
export default function View({ parameter }) {
  const known = useDocument("alerts");
  return html`<h1>Alerts</h1><${Loaded} known=${known} what="The alerts">${(data) => html`<${Alerts} key=${parameter}
    alerts=${data.alerts} parameter=${parameter} />`}<//>`;
}
