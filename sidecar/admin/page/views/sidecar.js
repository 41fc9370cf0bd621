// The sidecar itself: whether it sees, keeps and tells all that it should.
import { useDocument, send, put } from "sidecar/store";
import { Badge, Button, Card, Empty, Facts, Loaded, Table, html } from "sidecar/ui";
import { ago, bytes, count, moment, percent, seconds } from "sidecar/format";

const LEARN_ROWS = 2000;

const sum = (counts) => Object.values(counts).reduce((all, each) => all + each, 0);

const entries = (counts) => Object.entries(counts).map(([name, value]) => ({ name, value }));

const Counts = ({ caption, counts, of, empty }) =>
  sum(counts) === 0
    ? html`<p class="quiet">${empty}</p>`
    : html`<${Table} caption=${caption} rows=${entries(counts)} rowKey=${({ name }) => name}
      sort=${{ key: "value", descending: true }} columns=${[
        { key: "name", label: of, head: true, value: ({ name }) => name },
        { key: "value", label: "Count", numeric: true, value: ({ value }) => value, cell: ({ value }) => count(value) },
      ]} />`;

const LINKS = ["/metrics", "/openapi.json", "/v1/status", "/v1/violations", "/readyz"];

const Itself = ({ status }) =>
  html`<${Card} title="Itself" kind=${status.ready ? "good" : "bad"} actions=${html`<${Badge}
    kind=${status.ready ? "good" : "bad"}>${status.ready ? "ready" : "not ready"}<//>`}>
    ${status.not_ready.map((why) => html`<p key=${why} class="refused">${why}</p>`)}
    <${Facts} facts=${[
      ["Version", status.version],
      ["Up for", seconds(status.uptime_s)],
      ["Started", moment(status.started_s)],
      ["Requests in flight", count(status.active_requests)],
      ["Refused by itself", count(sum(status.refused))],
      ["Tunnels opened", count(sum(status.tunnels))],
      ["Counted without their own labels", count(status.folded)],
    ]} />
    ${sum(status.refused) > 0 && html`<${Counts} caption="Requests that reached no variant" counts=${status.refused}
      of="Why" />`}
    <p>For machines: ${LINKS.map((path) => html`<a key=${path} href=${path}>${path}</a>${" "}`)}</p>
  <//>`;

const Config = ({ config }) =>
  html`<${Card} title="Configuration" kind=${config.error ? "bad" : undefined} actions=${html`<${Badge}
    kind=${config.error ? "bad" : "good"}>${config.error ? "latest refused" : "in force"}<//>`}>
    <${Facts} facts=${[
      ["Loaded", `${count(config.revision)} ${config.revision === 1 ? "time" : "times"}`],
      ["In force since", moment(config.loaded_s)],
    ]} />
    ${config.error && html`<p class="refused">${config.error}</p><p>The one before stays in force until this is
      mended; the file is read again when it changes.</p>`}
  <//>`;

const lost = (captures) => sum(captures.dropped);

const Captures = ({ captures }) => {
  const dropped = lost(captures);
  return html`<${Card} title="Captures" kind=${dropped ? "warn" : undefined} actions=${html`<a href="#/captures">The
    latest</a>`}>
    <${Facts} facts=${[
      ["Sampled", count(captures.offered)],
      ["Captured", count(captures.captured)],
      ["Dropped", captures.offered ? `${count(dropped)} (${percent(dropped / captures.offered, 2)})` : count(dropped)],
      ["Waiting", `${count(captures.waiting)}, ${bytes(captures.held_bytes)}`],
      ["Rows decoded", count(sum(captures.rows))],
      ["Bodies not decoded", count(sum(captures.failures))],
    ]} />
    ${dropped > 0 && html`<${Counts} caption="Dropped, by reason" counts=${captures.dropped} of="Reason" />`}
    ${sum(captures.failures) > 0 && html`<${Counts} caption="Bodies not decoded, by reason"
      counts=${captures.failures} of="Reason" />`}
    <${Counts} caption="Rows decoded" counts=${captures.rows} of="Variant"
      empty="No row has been decoded yet: of the captured share of requests each is read, where its format is known." />
  <//>`;
};

const ill = ({ failing, dropped, failed }) => failing ?? dropped + failed > 0;

const state = (outlet) =>
  ill(outlet) ? html`<${Badge} kind="warn">has lost some<//>` : html`<${Badge} kind="good">delivers<//>`;

const outletState = (outlet) => {
  if (outlet.failing) return html`<${Badge} kind="bad">failing<//>`;
  return outlet.delivered || ill(outlet) ? state(outlet) : html`<${Badge}>nothing yet<//>`;
};

const number = (key, label) => ({
  key,
  label,
  numeric: true,
  value: (row) => row[key],
  cell: (row) => count(row[key]),
});

const COLUMNS = [
  { key: "name", label: "Name", head: true, value: ({ name }) => name },
  { key: "state", label: "State", cell: outletState },
  number("delivered", "Delivered"),
  number("waiting", "Waiting"),
  number("failed", "Not taken"),
  number("dropped", "Given up"),
  {
    key: "error",
    label: "Last error",
    cell: (row) => row.last_error && html`<div class="change">${row.last_error}</div>`,
  },
];

const Outlets = ({ title, outlets, children }) =>
  html`<${Card} title=${title} kind=${outlets.some(ill) ? "warn" : undefined}>
    ${outlets.length ? html`<${Table} caption=${title} hidden columns=${COLUMNS} rows=${outlets}
      rowKey=${({ name }) => name} />` : children}
  <//>`;

const learn = async () => put("reference", await send("POST", "reference", { rows: LEARN_ROWS }));

const Learning = ({ learning }) =>
  html`<p>Another one is being learned: ${count(learning.rows)}${learning.of ? ` of ${count(learning.of)}` : ""} rows.
    The one in force stays until then.</p>
    <progress value=${learning.of ? learning.rows : undefined} max=${learning.of ?? undefined}
      aria-label="Rows learned"></progress>`;

const Reference = ({ reference }) =>
  html`<${Card} title="Reference" actions=${html`<${Badge}
    kind=${reference.rows ? "good" : "neutral"}>${reference.rows ? "in force" : "none"}<//>`}>
    ${
      reference.rows
        ? html`<p>Learned from ${count(reference.rows)} rows of ${count(reference.features.length)} features. Rows are
          compared with these.</p>`
        : html`<${Empty} title="There is none yet" code="reference: {path: reference/, learn_rows: 10000}">What the
          data were like when all was well: from training data (<code>sidecar baseline train.csv -o
            reference/</code>), or from live rows.<//>`
    }
    ${reference.learning ? html`<${Learning} learning=${reference.learning} />` : html`<p><${Button}
      act=${learn}>Learn from the next ${count(LEARN_ROWS)} rows<//> <span class="quiet">Do so when all is
        well.</span></p>`}
  <//>`;

const Whole = ({ status }) => {
  const live = useDocument("reference");
  return html`<${Itself} status=${status} />
    <${Config} config=${status.config} />
    <${Reference} reference=${live.data ?? status.reference} />
    <${Captures} captures=${status.captures} />
    <${Outlets} title="Sinks" outlets=${status.sinks}><${Empty} title="Captures are kept nowhere"
      code="capture: {sinks: [{kind: jsonl, path: /var/lib/sidecar/captures}]}" /><//>
    <${Outlets} title="Alert channels" outlets=${status.alerts.channels}><${Empty}
      title="Alerts are told to nobody but this page"
        code=${'alerts: {channels: [{kind: webhook, url: "http://retrain.svc/hook"}]}'} /><//>
    ${status.alerts.dropped > 0 && html`<p class="refused">${count(status.alerts.dropped)} notices could not be kept
      for any channel.</p>`}
    <${Outlets} title="Exporters" outlets=${status.exporters}><${Empty} title="Metrics go nowhere but /metrics"
      code="OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 sidecar run …">The standard variables of OpenTelemetry
        rule.<//><//>`;
};

export default function View() {
  const known = useDocument("status");
  return html`<h1>The sidecar itself</h1><${Loaded} known=${known} what="Its state">${(data) => html`<${Whole}
    status=${data} />`}<//>`;
}
