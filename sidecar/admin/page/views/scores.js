// The scores of a version, as Model Monitor's statistics.json has them: scalars, confusion matrix, curves.
import { Badge, Card, Table, html } from "sidecar/ui";
import { Chart } from "sidecar/chart";
import { count, number, percent } from "sidecar/format";
import { interval, known, numeric, withError } from "./parts.js";

const SUFFIX = "_metrics";

/** The metrics in a statistics.json; empty where there is none. */
export const metricsOf = (statistics) => Object.entries(statistics ?? {}).find(([key]) => key.endsWith(SUFFIX))?.[1] ?? {};

/** "binary_classification", "regression", ... as the statistics say. */
export const kindOfTask = (statistics) => Object.keys(statistics ?? {}).find((key) => key.endsWith(SUFFIX))?.slice(0, -SUFFIX.length) ?? "";

const CONSTANT = "_best_constant_classifier";

/** Scores that are one number; those of an answer that is always the same apart. */
export const scalars = (metrics) =>
  Object.entries(metrics)
    .filter(([name, said]) => said && "value" in said && !name.endsWith(CONSTANT))
    .map(([name, said]) => ({ name, value: numeric(said.value), error: numeric(said.standard_deviation) }));

const byName = (statistics) => new Map(scalars(metricsOf(statistics)).map((each) => [each.name, each]));

const constantOf = (metrics, name) => numeric(metrics[`${name}${CONSTANT}`]?.value);

const row = (version, name) => {
  const [window, lifetime] = [byName(version.window).get(name), byName(version.lifetime).get(name)];
  const violation = version.violations.find((each) => each.metric_name === name);
  return { name, window, lifetime, violation, estimated: version.estimated?.scores[name] ?? null, constant: constantOf(metricsOf(version.window), name) };
};

const COLUMNS = [
  { key: "name", label: "Score", head: true, value: ({ name }) => name, cell: ({ name, violation }) => html`${name} ${violation && html`<${Badge} kind="warn">beyond its limit of ${number(violation.threshold)}<//>`}` },
  { key: "window", label: "Window", numeric: true, value: ({ window }) => window?.value, cell: ({ window }) => withError(window?.value, window?.error) },
  { key: "lifetime", label: "Since the start", numeric: true, value: ({ lifetime }) => lifetime?.value, cell: ({ lifetime }) => withError(lifetime?.value, lifetime?.error) },
  { key: "estimated", label: "Estimated without labels", numeric: true, value: ({ estimated }) => estimated?.value, cell: ({ estimated }) => estimated && html`${number(estimated.value)} <span class="quiet">(${interval(estimated.interval)})</span>` },
  { key: "constant", label: "Always the same answer", numeric: true, value: ({ constant }) => constant, cell: ({ constant }) => number(constant) },
];

const Estimated = ({ estimated }) =>
  estimated && html`<p class="quiet"><${Badge}>estimated<//> from the model's own confidence in ${count(estimated.rows)} rows, calibrated on ${count(estimated.calibrated_on)} labelled ones: ${estimated.note}.
    ${estimated.accuracy_with_labels && html` Corrected by the labels that did come, the accuracy is ${number(estimated.accuracy_with_labels.value)} (${interval(estimated.accuracy_with_labels.interval)}).`}</p>`;

/** Every scalar score: of the window, since the start, estimated. */
export const Scores = ({ version }) => {
  const names = [...new Set([...byName(version.window).keys(), ...byName(version.lifetime).keys(), ...Object.keys(version.estimated?.scores ?? {})])];
  const used = COLUMNS.filter(({ key }) => (key !== "estimated" || version.estimated) && (key !== "constant" || version.task !== "regression"));
  return html`<${Card} title="Scores">
    <${Table} caption="Scores, ± one standard error" rows=${names.map((name) => row(version, name))} rowKey=${({ name }) => name} columns=${used} />
    <${Estimated} estimated=${version.estimated} />
  <//>`;
};

const Cell = ({ share, rows, right }) =>
  html`<td class="numeric" style=${{ background: `color-mix(in srgb, ${right ? "var(--good-ground)" : "var(--bad-ground)"} ${Math.round(100 * Math.min(share, 1))}%, transparent)` }}>${percent(share)} <span style=${{ display: "block" }}>${count(rows)}</span></td>`;

const MOST_CLASSES = 20;

const sum = (those) => those.reduce((total, each) => total + (known(each) ? each : 0), 0);

/** Rows by their label, then by what was predicted; each row's shares add up to 1. */
const Confusion = ({ matrix }) => {
  const classes = Object.keys(matrix);
  const shown = classes.slice(0, MOST_CLASSES);
  return html`<${Card} title="Confusion matrix">
    <div class="scroll" tabindex="0" role="group" aria-label="Confusion matrix, table"><table>
      <caption>Rows by their label (down) and by what was predicted (across), with the share of the label's rows</caption>
      <thead><tr><th scope="col">Label</th>${shown.map((name) => html`<th key=${name} scope="col" class="numeric">predicted ${name}</th>`)}<th scope="col" class="numeric">Rows</th></tr></thead>
      <tbody>${shown.map((actual) => {
        const rows = sum(Object.values(matrix[actual]));
        return html`<tr key=${actual}><th scope="row">${actual}</th>
          ${shown.map((predicted) => html`<${Cell} key=${predicted} rows=${matrix[actual][predicted]} share=${rows ? matrix[actual][predicted] / rows : Number.NaN} right=${actual === predicted} />`)}
          <td class="numeric">${count(rows)}</td></tr>`;
      })}</tbody>
    </table></div>
    ${classes.length > MOST_CLASSES && html`<p class="quiet">The first ${MOST_CLASSES} of ${count(classes.length)} classes; all are in <a href="/v1/quality">/v1/quality</a>.</p>`}
  <//>`;
};

/** Points in the order of x, without those that are undefined. */
const ascending = (xs, ...others) => {
  const points = xs.map((x, at) => [x, ...others.map((each) => each[at])]).filter((point) => point.every(known));
  points.sort((a, b) => a[0] - b[0]);
  return [0, ...others.map((_, at) => at + 1)].map((place) => points.map((point) => point[place]));
};

const UNIT = [0, 1];

const Drawn = ({ title, xLabel, label, xs, ys, other, hint, children }) => {
  const [x, y] = ascending(xs, ys);
  const lines = [{ label, values: y, points: x.length <= 20 }, ...(other ? [{ label: other.label, values: other.of(x), dashed: true }] : [])];
  return html`<${Card} level=${3} title=${title}>
    <${Chart} title=${title} x=${x} xLabel=${xLabel} series=${lines} bounds=${UNIT} height=${240} />
    <p class="quiet">${hint}</p>
    ${children}
  <//>`;
};

const same = (x) => x;

const Reliability = ({ curve }) => {
  const rows = curve.probabilities.map((probability, at) => ({ at, probability, share: curve.shares[at], rows: curve.rows[at] }));
  return html`<${Drawn} title="Calibration" xLabel="probability that the model gave" label="share of the positive class" xs=${curve.probabilities} ys=${curve.shares}
      other=${{ label: "calibrated", of: same }} hint="On the dashed line probabilities mean what they say; below it the model is too sure of the positive class.">
    <details><summary>As a table</summary><${Table} caption="Calibration" hidden rows=${rows} rowKey=${({ at }) => String(at)} columns=${[
      { key: "probability", label: "Probability", numeric: true, cell: ({ probability }) => percent(probability) },
      { key: "share", label: "Came true", numeric: true, cell: ({ share }) => percent(share) },
      { key: "rows", label: "Rows", numeric: true, cell: (each) => count(each.rows) },
    ]} /></details>
  <//>`;
};

/** Confusion matrix, ROC, precision against recall and calibration, as far as the task has them. */
export const Curves = ({ metrics }) => {
  const { confusion_matrix: matrix, receiver_operating_characteristic_curve: roc, precision_recall_curve: pr, reliability_curve: reliability } = metrics;
  return html`
    ${matrix && Object.keys(matrix).length > 0 && html`<${Confusion} matrix=${matrix} />`}
    ${(roc || pr || reliability) && html`<${Card} title="Curves"><div class="grid" style=${{ gridTemplateColumns: "repeat(auto-fit, minmax(min(100%, 320px), 1fr))" }}>
      ${roc && html`<${Drawn} title="ROC" xLabel="false positive rate" label="true positive rate" xs=${roc.false_positive_rates} ys=${roc.true_positive_rates} other=${{ label: "by chance", of: same }}
        hint=${`Area under it: ${number(metrics.auc?.value)}. On the dashed line the model knows nothing.`} />`}
      ${pr && html`<${Drawn} title="Precision and recall" xLabel="recall" label="precision" xs=${pr.recalls} ys=${pr.precisions}
        hint=${`Area under it: ${number(metrics.au_prc?.value)}. How many of those that are called positive are, for how many of all that are.`} />`}
      ${reliability && html`<${Reliability} curve=${reliability} />`}
    </div><//>`}`;
};
