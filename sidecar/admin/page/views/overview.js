// Whether the model is well, and if not, why: one sentence for all, then one for each variant with what it rests on.
import { useDocument, useHistory } from "sidecar/store";
import { Badge, Card, Distribution, Empty, Facts, Legend, Loaded, classes, html, sideOf } from "sidecar/ui";
import { Chart } from "sidecar/chart";
import { CHANCE_NATS, Since, needed } from "./column.js";
import { NONE, ago, count, moment, number, percent, seconds } from "sidecar/format";

const KINDS = { good: "good", warn: "warn", bad: "bad", unknown: "neutral" };
const WORDS = { good: "well", warn: "look at it", bad: "not well", unknown: "not known" };

const Verdict = ({ state }) => html`<${Badge} kind=${KINDS[state] ?? "neutral"}>${WORDS[state] ?? state}<//>`;

const Headline = ({ headline }) =>
  html`<p class=${classes("card", "headline", headline.state)}><${Verdict}
    state=${headline.state} /> ${headline.sentence}</p>`;

const latest = (values) => (values ?? []).findLast((value) => value !== null);

/** A small chart under its name and latest value; `now` is known before the history has it. */
const Small = ({ name, history, picked, unit, said, limits, reach, now }) => {
  const { data } = history;
  const series = Object.entries(picked).map(([key, label]) => ({ label, values: data?.series[key] ?? [] }));
  return html`<figure class="small-chart">
    <figcaption><span>${name}</span><b>${said(now ?? latest(series[0].values))}</b></figcaption>
    <${Chart} small title=${`${name}, last hour`} times=${data?.times_s ?? []} series=${series} unit=${unit}
      limits=${limits} reach=${reach} />
  </figure>`;
};

const perSecond = (value) => (value === undefined || value === null ? NONE : `${number(value)}/s`);
const nats = (value) => (value === undefined ? NONE : `${number(value)} nats`);

/** Of all columns the greatest. */
const most = (drift) => {
  const known = drift.columns.map((column) => column.evidence_nats).filter((value) => value !== null);
  return known.length ? known.reduce((a, b) => Math.max(a, b)) : undefined;
};

const Past = ({ variant, drift }) => {
  const traffic = useHistory("traffic", { variant });
  const evidence = useHistory("evidence", { variant });
  const alarm = needed(drift);
  return html`<div class="grid">
    <${Small} name="Requests" history=${traffic} picked=${{ requests_per_s: "requests" }} unit="/s" said=${perSecond}
      reach=${1} />
    <${Small} name="Errors" history=${traffic} picked=${{ errors_ratio: "errors" }} unit="ratio" said=${percent}
      reach=${0.02} />
    <${Small} name="Latency p99" history=${traffic} picked=${{ p99_s: "p99", p50_s: "p50" }} unit="s" said=${seconds}
      reach=${0.001} />
    ${
      drift &&
      html`<${Small} name=${`Evidence of drift${alarm ? `, alarm at ${number(alarm)}` : ""}`} history=${evidence}
        picked=${{ evidence_nats: "evidence" }} now=${most(drift)}
      unit="nats" said=${nats} limits=${alarm ? [{ value: alarm, label: "alarm" }] : []} reach=${CHANCE_NATS} />`
    }
  </div>`;
};

const errors = ({ errors: by, requests }) => {
  const all = Object.values(by).reduce((sum, each) => sum + each, 0);
  return `${count(all)}${requests ? ` (${percent(all / requests, 2)})` : ""}`;
};

const SHARES = ["p50", "p99"];

const Numbers = ({ variant }) =>
  html`<${Facts} facts=${[
    ["Share of traffic", percent(variant.share_ratio)],
    ["Requests so far", count(variant.requests)],
    ["Errors so far", errors(variant)],
    ["Latency p50 / p99 so far", SHARES.map((share) => seconds(variant.duration_s[share])).join(" / ")],
    ["The sidecar's own part, p99", seconds(variant.overhead_s.p99)],
  ]} />`;

const MOVED = 6;

/** Why, in full, beyond what the sentence has said. */
const Reasons = ({ reasons, sentence }) => {
  const more = reasons.filter(({ text }) => !sentence.includes(text));
  if (!more.length) return null;
  return html`<ul class="reasons">${more.map(({ state, text }) => html`<li key=${text}><${Badge}
    kind=${KINDS[state] ?? "neutral"}><span class="unseen">${WORDS[state]}</span><//> ${text}</li>`)}</ul>`;
};

/** The columns that have drifted, the most telling first: the why in pictures. */
const Moved = ({ drift }) => {
  const moved = (drift?.columns ?? [])
    .filter((column) => column.drift)
    .sort((a, b) => b.drift.information_nats - a.drift.information_nats);
  if (!moved.length) return null;
  return html`<h3>What has moved</h3>
    <ul class="sentences">
      ${moved.slice(0, MOVED).map(
        (column) => html`<li key=${column.subject + column.name} class="moved">
        <${Distribution} ...${column} />
        <span><a href=${`#/${column.subject}/${encodeURIComponent(column.name)}`}>${column.name}</a>: <${Since}
          drift=${column.drift} /></span>
      </li>`,
      )}
    </ul>
    ${moved.length > MOVED && html`<p><a href="#/features">${moved.length - MOVED} more</a></p>`}
    <${Legend} now=${sideOf(moved)} />`;
};

const Variant = ({ variant, verdict, drift }) => {
  // Where nothing at all is known, the sentence says what is missing.
  const missing = verdict && verdict.state !== "unknown" ? verdict.missing : [];
  const badge = verdict && html`<${Verdict} state=${verdict.state} />`;
  const title = variant.version ? `${variant.name}, version ${variant.version}` : variant.name;
  return html`<${Card} title=${title} kind=${verdict?.state} actions=${badge}>
    ${verdict && html`<p class="verdict">${verdict.sentence}</p><${Reasons} ...${verdict} />`}
    ${missing.length > 0 && html`<p class="quiet">Not all is known: ${missing.join("; ")}.</p>`}
    <${Moved} drift=${drift} />
    <${Numbers} variant=${variant} />
    ${variant.requests > 0 && html`<${Past} variant=${variant.name} drift=${drift} />`}
  <//>`;
};

const TOLD = 5; // More of them hide what follows.

const Told = ({ alert }) => {
  const since = alert.since ?? alert.fired;
  return html`<li>
    <${Badge} kind=${alert.severity === "critical" ? "bad" : "warn"}>${alert.severity}<//>
    ${" "}<a href=${`#/alerts/${encodeURIComponent(alert.id)}`}>${alert.title}</a>
    ${" "}<span class="quiet">since ${moment(since)} (${ago(since)})${alert.reason && `; ${alert.reason}`}</span>
  </li>`;
};

const Firing = ({ alerts }) => {
  const firing = alerts.filter(({ state }) => state === "firing");
  if (!firing.length) return null;
  const title = firing.length === 1 ? "One alert is firing" : `${firing.length} alerts are firing`;
  return html`<${Card} title=${title} kind="bad" actions=${html`<a href="#/alerts">All alerts</a>`}>
    <ul class="sentences">${firing.slice(0, TOLD).map((alert) => html`<${Told} key=${alert.id} alert=${alert} />`)}</ul>
    ${firing.length > TOLD && html`<p><a href="#/alerts">${firing.length - TOLD} more</a></p>`}
  <//>`;
};

const Variants = ({ status, overview, drift }) => {
  const verdicts = new Map((overview?.variants ?? []).map((each) => [each.name, each]));
  const drifts = new Map((drift?.variants ?? []).map((each) => [each.name, each]));
  // As the verdicts have them: who serves most comes first.
  const places = new Map([...verdicts.keys()].map((name, place) => [name, place]));
  const place = ({ name }) => places.get(name) ?? places.size;
  return [...status.variants].sort((a, b) => place(a) - place(b)).map(
    (variant) => html`<${Variant} key=${variant.name} variant=${variant} verdict=${verdicts.get(variant.name)}
      drift=${drifts.get(variant.name)} />`,
  );
};

const QUIET = html`<${Empty} title="No request has come yet"
  code=${`curl -s localhost:8080/v1/models/default:predict -d '{"instances": [[1, 2, 3]]}'`}>
  Send the model's requests to the sidecar's port in place of the model's own; they pass unchanged, and are counted
    here.
<//>`;

export default function View() {
  const [overview, status, drift, alerts] = ["overview", "status", "drift", "alerts"].map(useDocument);
  return html`<h1>Overview</h1>
    <${Loaded} known=${overview} what="The verdict">${(data) => html`<${Headline} headline=${data.headline} />`}<//>
    ${alerts.data && html`<${Firing} alerts=${alerts.data.alerts} />`}
    <${Loaded} known=${status} what="The traffic">${(data) => html`
      ${data.variants.every(({ requests }) => requests === 0) && html`<div class="card">${QUIET}</div>`}
      <${Variants} status=${data} overview=${overview.data} drift=${drift.data} />`}<//>`;
}
