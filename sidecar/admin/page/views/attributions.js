// What the model's answers rest on: features by what they add to them, then and now.
import { Badge, Card, Empty, Facts, Legend, Loaded, Table, html } from "sidecar/ui";
import { count, number } from "sidecar/format";
import { ByVersion, PairOfBars, interval, known, signed } from "./parts.js";

/** Clarify's analysis as feature -> mean |attribution|; of several answers the first. */
const values = (analysis) => {
  const [first] = Object.values(analysis.explanations?.kernel_shap ?? {});
  return first?.global_shap_values ?? {};
};

const ranks = (those) => new Map(Object.entries(those).sort(([, a], [, b]) => Math.abs(b) - Math.abs(a)).map(([name], at) => [name, at + 1]));

const sidesOf = ({ reference, window }) => {
  const [then, now] = [values(reference.analysis), values(window.analysis)];
  const [before, after] = [ranks(then), ranks(now)];
  return [...new Set([...Object.keys(then), ...Object.keys(now)])].map((name) => ({ name, was: then[name] ?? null, is: now[name] ?? null, before: before.get(name) ?? null, after: after.get(name) ?? null }));
};

const columns = (most) => [
  { key: "name", label: "Feature", head: true, value: ({ name }) => name, cell: ({ name }) => html`<a href=${`#/features/${encodeURIComponent(name)}`}>${name}</a>` },
  { key: "bars", label: "Adds to answers", cell: ({ name, was, is }) => html`<${PairOfBars} was=${was} is=${is} most=${most} label=${`${name}: ${number(was)} in the reference, ${number(is)} now`} />` },
  { key: "was", label: "Reference", numeric: true, value: ({ was }) => was, cell: ({ was }) => number(was) },
  { key: "is", label: "Now", numeric: true, value: ({ is }) => is, cell: ({ is }) => number(is) },
  { key: "before", label: "Place then", numeric: true, value: ({ before }) => before, cell: ({ before }) => count(before) },
  { key: "after", label: "Place now", numeric: true, value: ({ after }) => after, cell: ({ after }) => count(after) },
  { key: "moved", label: "Moved", numeric: true, value: (row) => places(row), cell: (row) => (places(row) ? signed(places(row)) : "") },
];

const places = ({ before, after }) => (before !== null && after !== null ? before - after : null);

const Ranking = ({ ranking }) => {
  if (!ranking) return null;
  const said = ranking.drifted ? html`<${Badge} kind="bad">the ranking has changed<//>` : html`<${Badge} kind="good">ranked as in the reference<//>`;
  return html`<p>${said} NDCG ${number(ranking.ndcg)} (99 % interval ${interval(ranking.interval)}); below ${number(ranking.least)} it is drift. Shuffled at random it would be ${number(ranking.by_chance)}.</p>
    ${ranking.moved.length > 0 && html`<ul>${ranking.moved.map((each) => html`<li key=${each.name}>${each.name}: place ${each.reference_rank} → ${each.rank}, mean |attribution| ${number(each.reference_attribution)} → ${number(each.attribution)}</li>`)}</ul>`}`;
};

const Gathering = ({ what, have, need }) =>
  html`<p><label>${what}: ${count(have)} of ${count(need)} rows <progress max=${Math.max(need, 1)} value=${have}></progress></label></p>`;

const Version = ({ version }) => {
  const { reference, window, ranking, violations } = version;
  const rows = sidesOf(version);
  const most = Math.max(1e-12, ...rows.flatMap(({ was, is }) => [was, is]).filter(known).map(Math.abs));
  return html`
    ${!reference.learned && html`<${Gathering} what="The reference is being learned" have=${Math.min(version.rows, reference.needed_rows)} need=${reference.needed_rows} />`}
    ${reference.learned && window.rows < window.needed_rows && html`<${Gathering} what="The window fills" have=${window.rows} need=${window.needed_rows} />`}
    <${Ranking} ranking=${ranking} />
    ${violations.map((each) => html`<p key=${each.description}><${Badge} kind="bad">${each.constraint_check_type}<//> ${each.description}</p>`)}
    <${Legend} />
    <${Table} caption="Mean absolute attribution by feature" hidden rows=${rows} rowKey=${({ name }) => name} columns=${columns(most)} sort=${{ key: "is", descending: true }} empty="No row has been explained yet." />`;
};

const NO_MONITOR = html`<${Empty} title="Nobody watches what the answers rest on" code=${`monitors:
  - {kind: attribution, pointer: /explanations}    # where replies carry them
  - {kind: attribution, calls_per_minute: 60}      # or by calls of the sidecar's own`}>
  One monitor of kind <code>attribution</code> tells when a feature that mattered does not any more, or one that did not does.
<//>`;

const Calls = ({ said: { calls, unread, left_out: left } }) =>
  html`<${Facts} facts=${[["Calls made", count(calls.made)], ["Failed", count(calls.failed)], ["Skipped", count(calls.skipped)], ["Replies unread", count(unread)], ["Replies left out", count(left)]]} />`;

/** The card of attributions; `known` is what is known of /v1/attribution. */
export const Attributions = ({ known: document }) => {
  const shown = (data) => html`
    ${data.variants.length ? html`<${ByVersion} variants=${data.variants}>${(version) => html`<${Version} version=${version} />`}<//>` : html`<p class="quiet">No row has been explained yet.</p>`}
    <details><summary>Where explanations come from</summary><${Calls} said=${data} /></details>`;
  return html`<${Card} title="What the answers rest on"><${Loaded} known=${document} what="The attributions" missing=${NO_MONITOR}>${shown}<//><//>`;
};
