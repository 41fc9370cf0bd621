// Who gets how much of the traffic, how each variant is, and other weights.
import { useState } from "preact/hooks";
import { useDocument } from "sidecar/store";
import { Badge, Card, Facts, Field, Table, html } from "sidecar/ui";
import { count, moment, number, percent } from "sidecar/format";
import { Asked, change } from "./ordering.js";
import { Bar } from "./parts.js";

const STATES = {
  taking: ["good", "takes its part"],
  coming_back: ["warn", "coming back, bit by bit"],
  ejected: ["bad", "ejected: it failed"],
  unhealthy: ["bad", "unhealthy: it does not answer"],
};

const variantsOf = ({ routes, versions, shares, availability, uncatalogued, rollout }, status) => {
  const served = new Map((status?.variants ?? []).map((each) => [each.name, each]));
  const all = (status?.variants ?? []).reduce((sum, { rate }) => sum + (rate?.requests_per_s ?? 0), 0);
  const names = [...new Set([...Object.keys(shares), ...Object.keys(availability)])];
  const variants = names.map((name) => ({
    name,
    version: versions[name] ?? "",
    written: routes.variants[name]?.version ?? "",
    url: routes.variants[name]?.url ?? served.get(name)?.upstream ?? "",
    share: (shares[name] ?? 0) / 100,
    rate: served.get(name)?.rate?.requests_per_s ?? null,
    servedShare: all > 0 ? (served.get(name)?.rate?.requests_per_s ?? 0) / all : null,
    state: availability[name]?.state ?? "",
    available: availability[name]?.available ?? null,
    ejections: availability[name]?.ejections ?? 0,
    uncatalogued: uncatalogued.includes(name),
    rolled: name === rollout?.champion || name === rollout?.challenger,
  }));
  return variants.sort((a, b) => b.share - a.share || (b.name === rollout?.champion) - (a.name === rollout?.champion));
};

const Share = ({ name, share }) =>
  html`${percent(share)} <${Bar} value=${share} label=${`share of ${name}`} />`;

const State = ({ variant: { state, available } }) => {
  const [kind, words] = STATES[state] ?? ["neutral", state];
  return html`<${Badge} kind=${kind}>${words}<//>${available !== null && available < 1 && html` <span class="quiet">${percent(available, 0)} of its part</span>`}`;
};

const Version = ({ variant: { version, written, uncatalogued } }) =>
  html`${version || "–"}${written !== version && written && html` <span class="quiet">(${written})</span>`}${uncatalogued && html` <span class="quiet">not in the catalogue</span>`}`;

const columns = (weigh) => [
  { key: "name", label: "Variant", head: true, value: ({ name }) => name },
  { key: "version", label: "Version", value: ({ version }) => version, cell: (variant) => html`<${Version} variant=${variant} />` },
  { key: "share", label: "Weight", value: ({ share }) => share, cell: (variant) => html`<${Share} ...${variant} />` },
  { key: "served", label: "Served now", numeric: true, value: ({ servedShare }) => servedShare, cell: ({ servedShare, rate }) => html`${percent(servedShare)} <span class="quiet">${rate !== null && `${number(rate)}/s`}</span>` },
  { key: "state", label: "State", value: ({ state }) => state, cell: (variant) => html`<${State} variant=${variant} />` },
  { key: "ejections", label: "Ejections", numeric: true, value: ({ ejections }) => ejections, cell: ({ ejections }) => count(ejections) },
  { key: "url", label: "Upstream", cell: ({ url }) => html`<code>${url}</code>` },
  weigh && { key: "weigh", label: html`<span class="unseen">Change</span>`, cell: (variant) => !variant.rolled && html`<button type="button" onClick=${() => weigh(variant)}>Change weight<span class="unseen"> of ${variant.name}</span></button>` },
].filter(Boolean);

const Weighing = ({ variant, revision, onClose }) => {
  const [part, setPart] = useState(String(Number((variant.share * 100).toFixed(2))));
  const act = (why) => change("routes/weight", { variant: variant.name, percent: Number(part), why }, revision);
  return html`<${Asked} title=${`Change the weight of ${variant.name}`} action="Change the weight" act=${act} onClose=${onClose}>
    <p>The others share the rest in the proportion that they have now.</p>
    <${Field} label="Percent of all traffic">${(id) => html`<input id=${id} type="number" min="0" max="100" step="any" required value=${part} onInput=${(event) => setPart(event.currentTarget.value)} />`}<//>
  <//>`;
};

const Undoing = ({ revision, last, onClose }) =>
  html`<${Asked} title="Undo the last change" action="Undo it" danger act=${(why) => change("rollout", { order: "rollback", why }, revision)} onClose=${onClose}>
    <p>The routes are again as they were before: ${last.what} (by ${last.who}).</p>
  <//>`;

const sticky = ({ split }) => Object.entries(split?.sticky ?? {}).map(([by, name]) => (typeof name === "string" ? `${by} ${name}` : by)).join(", ");

/** The split; `routes` is /v1/routes. */
export const Split = ({ routes }) => {
  const status = useDocument("status");
  const [asked, ask] = useState(null);
  const rows = variantsOf(routes, status.data);
  const last = routes.change;
  const several = Object.keys(routes.routes.variants).length > 1;
  const { revision } = routes; // What a dialog was opened upon is what it means to change, whatever comes meanwhile.
  const close = () => ask(null);
  return html`<${Card} title="The split" actions=${several && !routes.rollout && html`<button type="button" class="danger" onClick=${() => ask({ last, revision })}>Undo the last change</button>`}>
    <${Table} caption="Variants" hidden rows=${rows} rowKey=${({ name }) => name} columns=${columns(several ? (variant) => ask({ variant, revision }) : null)} />
    ${routes.rollout && html`<p class="quiet">The weights of ${routes.rollout.champion} and ${routes.rollout.challenger} are the rollout's: it is below.</p>`}
    ${!several && html`<p class="quiet">There is one upstream. Another version beside it, with a weight or as a shadow: <code>variants</code> in the configuration.</p>`}
    ${routes.unkept && html`<p><${Badge} kind="warn">not kept<//> ${routes.unkept}</p>`}
    <p>Last change: ${last.what} <span class="quiet">by ${last.who}, ${moment(last.time)}${last.why && `: ${last.why}`}. <a href="#/versions/audit">All changes</a></span></p>
    <${Facts} facts=${[
      ["Revision", count(routes.revision)],
      sticky(routes.routes) && ["Users are kept by", sticky(routes.routes)],
      routes.routes.shadow && ["Shadow", `${routes.routes.shadow.variant}, ${percent(routes.routes.shadow.ratio ?? 1)} of the requests`],
    ]} />
    ${asked?.variant && html`<${Weighing} ...${asked} onClose=${close} />`}
    ${asked?.last && html`<${Undoing} ...${asked} onClose=${close} />`}
  <//>`;
};
