// The latest exchanges as they were kept: redacted, searchable, each with its request and its reply.
import { useEffect, useState } from "preact/hooks";
import { useDocument, useFetched } from "sidecar/store";
import { Badge, Button, Card, Empty, Facts, Field, Loaded, html } from "sidecar/ui";
import { ago, clock, count, moment, percent, seconds } from "sidecar/format";
import { called } from "./parts.js";
import { laidOut } from "./laid_out.js";

const LIMIT = 20;
const MOST = 100; // As many as the sidecar tells at once.
const ASKED_CHARACTERS = 200; // As long as what is looked for may be.
const LOOK_S = 5;
const TYPED_MS = 300;

const STATUSES = [["", "any"], ["2xx", "2xx"], ["3xx", "3xx"], ["4xx", "4xx"], ["5xx", "5xx"], ["none", "no reply"]];

/** Why a body is not here, or not all of it. */
const WITHHELD = {
  truncated: "Only its beginning is here: a body is kept up to capture.max_body_bytes, of the latest ones 8 KiB are shown.",
  inflate: "It is not here: its content coding could not be undone, so nobody could have redacted it.",
  too_large: "It is not here: undoing its content coding goes beyond 8 times capture.max_body_bytes.",
  redact: "It is not here: payload.redact could not be applied to it, and what cannot be redacted is not kept.",
};

const kindOf = ({ status, error_type: error }) => {
  if (error || !status || status >= 500) return "bad";
  return status >= 400 ? "warn" : "good";
};

const TALL = { maxHeight: "24rem", whiteSpace: "pre-wrap", overflowWrap: "anywhere" };

const isJson = (type) => /[/+]json\b/i.test(type);

/** What a body's `withheld` means; of a cut body that would have to be redacted nothing is kept. */
const whyWithheld = ({ withheld, data }) =>
  withheld === "truncated" && !data
    ? "It is not here: it is longer than capture.max_body_bytes, and what is cut cannot be redacted."
    : WITHHELD[withheld] ?? "It is not here as it was.";

const Text = ({ body, label }) => {
  const text = isJson(body.content_type) && body.encoding === "text" ? laidOut(body.data) : body.data;
  return html`<pre tabindex="0" role="region" aria-label=${label} style=${TALL}><code>${text}</code></pre>`;
};

const Body = ({ title, body, fields }) =>
  html`<section aria-label=${title}>
    <h3>${title}</h3>
    <p class="quiet">${body.content_type || "no content type"}${body.encoding === "base64" && ", not text: shown as base64"}</p>
    ${body.withheld && html`<p><${Badge} kind="warn">${body.withheld}<//> ${whyWithheld(body)}</p>`}
    ${body.data ? html`<${Text} body=${body} label=${`${title}'s body`} />` : !body.withheld && html`<p class="quiet">It has no body.</p>`}
    ${fields && Object.keys(fields).length > 0 && html`<details><summary>Header fields kept: ${count(Object.keys(fields).length)}</summary><${Facts} facts=${Object.entries(fields)} /></details>`}
  </section>`;

const Whole = ({ capture }) =>
  html`<${Facts} facts=${[
      ["Request id", capture.request_id],
      capture.inference_id && ["Inference id", capture.inference_id],
      ["Route", capture.route || "none"],
      ["Began", moment(capture.started_s)],
      ["Took", seconds(capture.duration_s)],
      ["First byte after", seconds(capture.first_byte_s)],
      ["Of that the sidecar", seconds(capture.overhead_s)],
      ["Sampled at", percent(capture.sample_ratio)],
      capture.error_type && ["Error", capture.error_type],
    ]} />
    <div class="grid">
      <${Body} title="Request" body=${capture.request} fields=${capture.headers.request} />
      <${Body} title="Reply" body=${capture.reply} fields=${capture.headers.reply} />
    </div>`;

const Capture = ({ capture }) => {
  const [open, setOpen] = useState(false);
  return html`<li><details onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary>
      <${Badge} kind=${kindOf(capture)}>${capture.status || "no reply"}<//> <span>${capture.method} ${capture.path}</span>
      <span class="quiet"> ${called({ name: capture.variant, version: capture.version })}, ${seconds(capture.duration_s)}, ${clock(capture.started_s)} (${ago(capture.started_s)})</span>
    </summary>
    ${open && html`<${Whole} capture=${capture} />`}
  </details></li>`;
};

const NONE_KEPT = html`<${Empty} title="Nothing has been captured yet" code=${`capture: {sample_ratio: 0.1, errors: always}
payload: {redact: [/instances/*/card_number]}`}>
  Of the exchanges that go through the sidecar the sampled ones are kept here, the latest first, and every one that is not 2xx. Send some:
  what <code>payload.redact</code> names is gone before anybody sees it.
<//>`;

const NONE_FOUND = html`<${Empty} title="No capture is like that">Only the latest are searched; older ones are where <code>capture.sinks</code> puts them.<//>`;

const List = ({ captures, filtered, limit, onMore }) => {
  if (!captures.length) return filtered ? NONE_FOUND : NONE_KEPT;
  return html`<p class="quiet" role="status">${count(captures.length)} ${filtered ? "found" : "latest"}</p>
    <ul class="sentences">${captures.map((each) => html`<${Capture} key=${`${each.request_id}/${each.variant}/${each.started_s}`} capture=${each} />`)}</ul>
    ${captures.length >= limit && limit < MOST && html`<p><button type="button" onClick=${onMore}>Show more</button></p>`}`;
};

/** What is typed, once nothing has been typed for a moment. */
const useSettled = (text) => {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), TYPED_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
};

const options = (pairs) => pairs.map(([value, word]) => html`<option key=${value} value=${value}>${word}</option>`);

const Choice = ({ label, value, pairs, onChange }) =>
  html`<${Field} label=${label}>${(id) => html`<select id=${id} value=${value} onChange=${(event) => onChange(event.currentTarget.value)}>${options(pairs)}</select>`}<//>`;

const Controls = ({ wanted, want, variants }) =>
  html`<form class="controls" role="search" onSubmit=${(event) => event.preventDefault()}>
    <${Field} label="With this text (ids, path, bodies)">${(id) => html`<input id=${id} type="search" maxlength=${ASKED_CHARACTERS} value=${wanted.contains} onInput=${(event) => want({ contains: event.currentTarget.value })} />`}<//>
    <${Choice} label="Variant" value=${wanted.variant} pairs=${[["", "any"], ...variants.map((name) => [name, name])]} onChange=${(variant) => want({ variant })} />
    <${Choice} label="Status" value=${wanted.status} pairs=${STATUSES} onChange=${(status) => want({ status })} />
  </form>`;

const query = ({ contains, variant, status }, limit) => {
  const given = Object.entries({ contains, variant, status, limit }).filter(([, value]) => value !== "");
  return `captures?${new URLSearchParams(given)}`;
};

const NOTHING = { contains: "", variant: "", status: "" };

/** @param {{parameter: string}} props What to search for: a request id, or empty. */
export default function View({ parameter }) {
  const [wanted, setWanted] = useState({ ...NOTHING, contains: parameter.slice(0, ASKED_CHARACTERS) });
  const [limit, setLimit] = useState(LIMIT);
  const [follows, setFollows] = useState(true);
  const settled = useSettled(wanted.contains.trim());
  const asked = { ...wanted, contains: settled };
  const known = useFetched(query(asked, limit), follows ? LOOK_S : 0);
  const status = useDocument("status");
  const want = (more) => {
    setWanted({ ...wanted, ...more });
    setLimit(LIMIT);
  };
  const actions = html`<label><input type="checkbox" checked=${follows} onChange=${(event) => setFollows(event.currentTarget.checked)} /> look every ${LOOK_S} s</label>
    <${Button} act=${async () => known.again()}>Look again<//>`;
  const filtered = Object.values(asked).some(Boolean);
  return html`<h1>Captures</h1>
    <${Card} title="The latest exchanges, redacted" actions=${actions}>
      <${Controls} wanted=${wanted} want=${want} variants=${(status.data?.variants ?? []).map(({ name }) => name)} />
      <${Loaded} known=${known} what="The captures">${({ captures }) => html`<${List} captures=${captures} filtered=${filtered} limit=${limit} onMore=${() => setLimit(Math.min(limit * 5, MOST))} />`}<//>
    <//>`;
}
