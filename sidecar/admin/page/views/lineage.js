// Where a version comes from and where it went, in layers: data, runs, versions, deployments; as a graph and as a list.
import { Card, Table, html } from "sidecar/ui";
import { number } from "sidecar/format";
import { pageOf } from "./catalogue.js";

/**
 * @typedef {{id: string, kind: "data" | "run" | "version" | "deployment", label: string, said: string, href?: string, here?: boolean, depth?: number}} Node
 * @typedef {{from: string, to: string, says: string}} Edge
 */

const SAYS = { trained_on: "trained", evaluated_on: "evaluated", produced_by: "produced", derived_from: "was the parent of", deployed: "serves as" };

const KINDS = { data: "data set", run: "training run", version: "version", deployment: "deployment" };

const MOST = 40; // Versions that are drawn, and links of theirs; a graph of more is none that one reads.

const web = (text) => (/^https?:\/\//i.test(text) ? text : undefined);

const short = (text, most = 24) => (text.length > most ? `…${text.slice(1 - most)}` : text);

/** How many derivations lie between a version and the first of its line. */
const depths = (edges, names) => {
  const parents = new Map(names.map((name) => [name, edges.filter(({ version }) => version === name).map((each) => each.derived_from)]));
  const known = new Map();
  const depth = (name, seen) => {
    if (known.has(name) || seen.has(name)) return known.get(name) ?? 0;
    const above = (parents.get(name) ?? []).map((parent) => depth(parent, new Set([...seen, name])) + 1);
    known.set(name, Math.max(0, ...above));
    return known.get(name);
  };
  names.forEach((name) => depth(name, new Set()));
  return known;
};

const versionsOf = ({ lineage }, here) => {
  const names = lineage.nodes.map(({ version }) => version);
  const depth = depths(lineage.edges, names);
  return lineage.nodes.map(({ version, approval }) => ({
    id: version, kind: "version", label: version, said: approval ?? "not in the catalogue", href: approval ? pageOf(version) : undefined, here: version === here, depth: depth.get(version),
  }));
};

const isRun = ({ relation }) => relation === "produced_by";

const runNode = (target, runs) => {
  const run = runs.find(({ id }) => id === target);
  return { id: `run ${target}`, kind: "run", label: run?.name || target, said: run ? run.status : target };
};

const dataNode = ({ target, digest }) => ({ id: `data ${target}`, kind: "data", label: target, said: digest ? `${target}, ${digest}` : target, href: web(target) });

const restNodes = (rests, runs) => rests.filter(({ relation }) => relation !== "derived_from").map((rest) => (isRun(rest) ? runNode(rest.target, runs) : dataNode(rest)));

/** Data are what a run was trained on, where the version has one; else what the version was. */
const restEdges = (rests) => {
  const runs = new Map(rests.filter(isRun).map(({ version, target }) => [version, `run ${target}`]));
  return rests.filter(({ relation }) => relation !== "derived_from").map((rest) => {
    if (isRun(rest)) return { from: `run ${rest.target}`, to: rest.version, says: SAYS.produced_by };
    const to = rest.relation === "trained_on" ? runs.get(rest.version) ?? rest.version : rest.version;
    return { from: `data ${rest.target}`, to, says: SAYS[rest.relation] ?? rest.relation };
  });
};

const deploymentNodes = ({ deployments }) =>
  deployments.filter(([, , until]) => until === null).map(([variant, , , , , , weight]) => ({ id: `deployment ${variant}`, kind: "deployment", label: `${variant}, ${number(weight)} %`, said: "serves now" }));

const unique = (nodes) => [...new Map(nodes.map((node) => [node.id, node])).values()];

/**
 * The graph of a version's document: the nearest versions, what these rest on, where it serves.
 * @returns {{nodes: Node[], edges: Edge[], omitted: number}}
 */
export const graphOf = (version, runs) => {
  const here = `${version.group}/${version.number}`;
  const versions = versionsOf(version, here).slice(0, MOST);
  const names = new Set(versions.map(({ id }) => id));
  const rests = version.lineage.rests_on.filter((rest) => names.has(rest.version)).slice(0, MOST);
  const deployed = deploymentNodes(version);
  const nodes = unique([...versions, ...deployed, ...restNodes(rests, runs)]);
  const edges = [
    ...restEdges(rests),
    ...version.lineage.edges.map((edge) => ({ from: edge.derived_from, to: edge.version, says: SAYS.derived_from })).filter(({ from, to }) => names.has(from) && names.has(to)),
    ...deployed.map(({ id }) => ({ from: here, to: id, says: SAYS.deployed })),
  ];
  const undrawn = version.lineage.nodes.length - versions.length + version.lineage.rests_on.length - rests.length;
  return { nodes, edges, omitted: version.lineage.omitted + undrawn };
};

const [WIDE, HIGH, ACROSS, DOWN] = [190, 40, 56, 16];

const LAYERS = ["data", "run", "version", "deployment"];

/** What stands beside a version: what leads to it or from it, and has no place yet. */
const besideOf = (id, edges, nodes, places) => {
  const runs = edges.filter(({ to }) => to === id).map(({ from }) => from);
  const near = new Set([...runs, ...edges.filter(({ to }) => runs.includes(to)).map(({ from }) => from), ...edges.filter(({ from }) => from === id).map(({ to }) => to)]);
  return nodes.filter((node) => node.kind !== "version" && near.has(node.id) && !places.has(node.id));
};

/** Layers from left to right; versions from top to bottom, each with its own beside it. */
const placed = ({ nodes, edges }) => {
  const places = new Map();
  const column = (kind) => 2 + LAYERS.indexOf(kind) * (WIDE + ACROSS);
  let top = 2;
  nodes.filter(({ kind }) => kind === "version").sort((a, b) => a.depth - b.depth).forEach((version) => {
    const filled = { version: 1 };
    places.set(version.id, { x: column("version"), y: top });
    besideOf(version.id, edges, nodes, places).forEach(({ id, kind }) => {
      places.set(id, { x: column(kind), y: top + (filled[kind] ?? 0) * (HIGH + DOWN) });
      filled[kind] = (filled[kind] ?? 0) + 1;
    });
    top += Math.max(...Object.values(filled)) * (HIGH + DOWN);
  });
  return places;
};

const PAINT = { data: "var(--series-6)", run: "var(--series-2)", version: "var(--series-1)", deployment: "var(--series-3)" };

const Box = ({ node, at }) => {
  const box = html`<rect x=${at.x} y=${at.y} width=${WIDE} height=${HIGH} rx="4" fill="var(--card)" stroke=${PAINT[node.kind]} stroke-width=${node.here ? 3 : 1.25} />
    <text x=${at.x + 8} y=${at.y + 16} fill="var(--quiet)" font-size="11">${KINDS[node.kind]}${node.here && ", this one"}${node.kind === "version" && !node.here && `, ${node.said}`}</text>
    <text x=${at.x + 8} y=${at.y + 32} fill=${node.href ? "var(--accent)" : "var(--text)"} font-size="13">${short(node.label)}</text>
    <title>${`${KINDS[node.kind]} ${node.label}: ${node.said}`}</title>`;
  const label = `${KINDS[node.kind]} ${node.label}, ${node.said}`;
  if (node.href && !node.here) return html`<a href=${node.href} aria-label=${label} rel="noreferrer noopener">${box}</a>`;
  return html`<g tabindex="0" role="img" aria-label=${label}>${box}</g>`;
};

const HEAD = 4;

/** To the right, or of one version to another down the right side of their column. */
const curve = (from, to) => {
  const [x1, y1, y2] = [from.x + WIDE, from.y + HIGH / 2, to.y + HIGH / 2];
  if (from.x === to.x) return `M${x1} ${y1 + 8}C${x1 + 34} ${y1 + 8} ${x1 + 34} ${y2 - 8} ${x1 + 2} ${y2 - 8}m${HEAD} -${HEAD}l-${HEAD} ${HEAD}l${HEAD} ${HEAD}`;
  const x2 = to.x - 2;
  const bend = ACROSS / 2; // Past a layer in between it goes level, in its own row.
  return `M${x1} ${y1}H${x2 - ACROSS + 2}C${x2 - bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}m-${HEAD} -${HEAD}l${HEAD} ${HEAD}l-${HEAD} ${HEAD}`;
};

const Arrow = ({ from, to }) => html`<path d=${curve(from, to)} fill="none" stroke="var(--edge)" />`;

const Graph = ({ graph, title }) => {
  const places = placed(graph);
  const all = [...places.values()];
  const [wide, high] = [Math.max(...all.map(({ x }) => x)) + WIDE + 40, Math.max(...all.map(({ y }) => y)) + HIGH + 4];
  return html`<div class="scroll"><svg width=${wide} height=${high} viewBox="0 0 ${wide} ${high}" role="group" aria-label=${title}>
    ${graph.edges.map(({ from, to }) => html`<${Arrow} key=${`${from}→${to}`} from=${places.get(from)} to=${places.get(to)} />`)}
    ${graph.nodes.map((node) => html`<${Box} key=${node.id} node=${node} at=${places.get(node.id)} />`)}
  </svg></div>`;
};

const EDGES = [
  { key: "from", label: "What", head: true, value: ({ from }) => from },
  { key: "says", label: "did", value: ({ says }) => says },
  { key: "to", label: "to what", value: ({ to }) => to },
];

/** The lineage of a version's document; `runs` are those of its model, for their names. */
export const Lineage = ({ version, runs }) => {
  const graph = graphOf(version, runs);
  const title = `Lineage of ${version.group}/${version.number}: ${graph.nodes.length} nodes, from data to deployments`;
  return html`<${Card} title="Lineage">
    <${Graph} graph=${graph} title=${title} />
    ${graph.omitted > 0 && html`<p class="quiet">and ${graph.omitted} more that are not drawn</p>`}
    ${graph.edges.length === 0 && html`<p class="quiet">Nothing is known of where it comes from: <code>sidecar versions register --trained-on … --run … --derived-from …</code> says so.</p>`}
    <details><summary>As a list</summary><${Table} caption="Lineage as a list" hidden rows=${graph.edges} rowKey=${({ from, to }) => `${from}→${to}`} columns=${EDGES} limit=${200} /></details>
  <//>`;
};
