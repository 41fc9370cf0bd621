// One column of the reference: its distribution, its past, its statistics and what it breaks. A page of its own.
import { useDocument, useHistory } from "sidecar/store";
import { Badge, Card, Distribution, Empty, Facts, Legend, Loaded, Table, Tabs, html, sideOf } from "sidecar/ui";
import { Chart } from "sidecar/chart";
import { ago, count, moment, number, percent } from "sidecar/format";
import { useState } from "preact/hooks";

/** Greater is worse: known drift, then what a window says, then whole nats: rounded, so that rows do not jump. */
export const rank = ({ drift, statistics, evidence_nats: nats }) => {
  if (drift) return 1e6 + (drift.information_nats ?? 0);
  const windowed = Object.values(statistics).some(({ drifted }) => drifted) ? 1e3 : 0;
  return windowed + Math.min(Math.max(Math.round(nats ?? -1), -1), 900);
};

/** Chance alone comes to about ln(rows): less than this should look like little. */
export const CHANCE_NATS = 15;

/** What an alarm needs: of a variant that drifts, what its alarms needed; columns that drift together need less. */
export const needed = (drift) => {
  const alarmed = (drift?.columns ?? []).flatMap((column) => (column.drift ? [column.drift.needed_nats] : []));
  return drift ? Math.min(drift.needed_nats, ...alarmed) : null;
};

/** How a column is, with what makes it so. */
export const Standing = ({ column }) => {
  if (column.drift) return html`<${Badge} kind="bad">drifts<//>`;
  if (Object.values(column.statistics).some(({ drifted }) => drifted))
    return html`<${Badge} kind="warn">beyond a limit<//>`;
  if (!column.seen) return html`<${Badge}>never seen<//>`;
  return column.evidence_nats === null ? html`<${Badge}>no rows yet<//>` : html`<${Badge} kind="good">no drift<//>`;
};

/** What has changed, and since when. */
export const Since = ({ drift }) =>
  drift && html`${drift.text}, <span class="quiet">since ${moment(drift.since_s)} (${ago(drift.since_s)})</span>`;

const mark = (drift) => (drift ? [{ time: drift.since_s, label: "most likely began" }] : []);

const Bins = ({ column }) => {
  const rows = column.bins.map((bin, at) => ({ bin, at, was: column.reference[at], is: column.current?.[at] ?? null }));
  const moved = ({ was, is }) => (is === null ? null : is - was);
  return html`<details><summary>As a table</summary>
    <${Table} caption=${`Shares of the bins of ${column.name}`} hidden limit=${100} rows=${rows}
      rowKey=${({ at }) => String(at)} columns=${[
      { key: "bin", label: "Bin", head: true, cell: ({ bin }) => bin },
      { key: "was", label: "Reference", numeric: true, value: ({ was }) => was, cell: ({ was }) => percent(was) },
      { key: "is", label: "Current", numeric: true, value: ({ is }) => is, cell: ({ is }) => percent(is) },
      { key: "moved", label: "Difference", numeric: true, value: moved, cell: (row) => percent(moved(row)) },
    ]} /></details>`;
};

const Shape = ({ column }) =>
  html`<${Card} title="Distribution">
    <${Distribution} ...${column} large />
    <p class="bins" aria-hidden="true"><span>${column.bins[0]}</span><span>${column.bins.at(-1)}</span></p>
    <${Legend} now=${sideOf([column])} />
    ${!column.current_whole && html`<p class="quiet">There is no whole window yet
      (<code>monitors[].window.rows</code>); the evidence below reads every row.</p>`}
    <${Bins} column=${column} />
  <//>`;

const Evidence = ({ column, history, alarm: usual }) => {
  const alarm = column.drift?.needed_nats ?? usual;
  const limits = alarm ? [{ value: alarm, label: `alarm at ${number(alarm)} nats` }] : [];
  return html`<${Card} title="Evidence of drift">
    <p class="quiet">Gathered row by row; it may be looked at at any time. While the column drifts, it is that of the
      alarm at least.</p>
    <${Chart} title="evidence" unit="nats" times=${history.data?.times_s ?? []}
      series=${[{ label: "evidence", values: history.data?.series.evidence_nats ?? [] }]} limits=${limits}
        marks=${mark(column.drift)} reach=${CHANCE_NATS} />
    ${
      column.drift &&
      html`<${Facts} facts=${[
        ["Rows that have moved", percent(column.drift.moved_ratio)],
        ["Evidence at the alarm", `${number(column.drift.evidence_nats)} nats`],
        ["Needed", `${number(column.drift.needed_nats)} nats`],
        ["A row says", `${number(column.drift.information_nats)} nats`],
        ["Rows up to the alarm", count(column.drift.rows)],
      ]} />`
    }
  <//>`;
};

const Detector = ({ kind, said, column, history }) => {
  const limits = said.limit === null ? [] : [{ value: said.limit, label: `limit ${number(said.limit)}` }];
  return html`<${Card} title=${kind} level=${3} actions=${html`<${Badge}
    kind=${said.drifted ? "warn" : "good"}>${said.drifted ? "beyond" : "within"}<//>`}>
    <${Facts} facts=${[
      ["Of the latest window", number(said.statistic)],
      ["Limit", number(said.limit)],
      said.p_value !== null && ["p-value", number(said.p_value)],
    ]} />
    <${Chart} title=${kind} height=${140} times=${history.data?.times_s ?? []}
      series=${[{ label: kind, values: history.data?.series[kind] ?? [] }]} limits=${limits}
        marks=${mark(column.drift)} />
  <//>`;
};

const Windowed = ({ column, history }) => {
  const all = Object.entries(column.statistics);
  return html`<${Card} title="Statistics of windows">
    ${all.length === 0 && html`<p class="quiet">They come with the first whole window of rows
      (<code>monitors[].window.rows</code>).</p>`}
    <div class="grid">${all.map(([kind, said]) => html`<${Detector} key=${kind}
      ...${{ kind, said, column, history }} />`)}</div>
  <//>`;
};

const MOMENTS = [
  ["Rows", "rows", count],
  ["Missing", "missing", count],
  ["Infinite", "infinite", count],
  ["Numbers", "count", count],
  ["Mean", "mean", number],
  ["Standard deviation", "std", number],
  ["Least", "min", number],
  ["Greatest", "max", number],
  ["Zero", "zero_ratio", percent],
  ["Negative", "negative_ratio", percent],
];

const statistics = ({ lifetime, window }) => {
  const quantiles = Object.keys(lifetime.quantiles).map((share) => ({
    name: `${percent(share)} are below`,
    whole: number(lifetime.quantiles[share]),
    now: number(window.quantiles[share]),
  }));
  const moments = MOMENTS.map(([name, key, said]) => ({ name, whole: said(lifetime[key]), now: said(window[key]) }));
  const texts = lifetime.texts && {
    name: "Distinct texts",
    whole: count(lifetime.texts.distinct),
    now: count(window.texts?.distinct),
  };
  const shown = lifetime.count ? [...moments, ...quantiles] : moments.slice(0, 3);
  return texts ? [...shown, texts] : shown;
};

const Texts = ({ texts }) =>
  texts &&
  html`<${Table} caption="The most frequent texts since the start" rows=${texts.top} rowKey=${({ value }) => value}
    limit=${20} columns=${[
    { key: "value", label: "Text", head: true, value: ({ value }) => value },
    { key: "count", label: "Rows", numeric: true, value: (row) => row.count, cell: (row) => count(row.count) },
  ]} />`;

const Statistics = ({ said }) =>
  html`<${Card} title="Statistics">
    <${Table} caption="Since the start, and of the current window" rows=${statistics(said)}
      rowKey=${({ name }) => name} limit=${100} columns=${[
      { key: "name", label: "Statistic", head: true, cell: ({ name }) => name },
      { key: "whole", label: "Since the start", numeric: true, cell: ({ whole }) => whole },
      { key: "now", label: "Window", numeric: true, cell: ({ now }) => now },
    ]} />
    <${Texts} texts=${said.lifetime.texts} />
  <//>`;

const Violations = ({ rows }) =>
  html`<${Card} title="Constraints">
    ${
      rows.length === 0
        ? html`<p><${Badge} kind="good">none broken<//></p>`
        : html`<${Table} caption="What the current window breaks" hidden rows=${rows}
          rowKey=${(row) => row.constraint_check_type} columns=${[
            { key: "check", label: "Check", head: true, value: (row) => row.constraint_check_type },
            { key: "said", label: "What", cell: (row) => html`<span class="long">${row.description}</span>` },
            { key: "value", label: "Is", numeric: true, cell: ({ value }) => number(value) },
            { key: "limit", label: "May be", numeric: true, cell: ({ limit }) => number(limit) },
          ]} />`
    }
  <//>`;

const OfVariant = ({ variant, column, alarm, subject }) => {
  const which = { variant, name: column.name };
  const history = useHistory("drift", which);
  const features = useDocument("features");
  const violations = useDocument("violations");
  const said = features.data?.variants
    .find(({ name }) => name === variant)
    ?.[subject].find(({ name }) => name === column.name);
  const broken = violations.data?.violations.filter(
    (each) => each.variant === variant && each.feature_name === column.name && each.subject === subject,
  );
  return html`<p><${Standing} column=${column} /> <${Since} drift=${column.drift} /></p>
    <${Shape} column=${column} />
    <${Evidence} ...${{ column, history, alarm }} />
    <${Windowed} ...${{ column, history }} />
    ${said && html`<${Statistics} said=${said} />`}
    ${broken && html`<${Violations} rows=${broken} />`}`;
};

const found = (data, name, subject) =>
  data.variants.flatMap((variant) => {
    const column = variant.columns.find((each) => each.name === name && each.subject === subject);
    return column ? [{ variant, column }] : [];
  });

/**
 * The page of a column, with a tab for each variant that has it.
 * @param {{name: string, subject: "features" | "predictions"}} props
 */
export const ColumnPage = ({ name, subject }) => {
  const drift = useDocument("drift");
  const [chosen, choose] = useState("");
  const unknown = html`<${Empty} title=${`No column "${name}" in the reference`}>It may have another name, or the
    reference is another one since. <a href=${`#/${subject}`}>All ${subject}</a><//>`;
  const shown = (data) => {
    const all = found(data, name, subject);
    const content =
      ({ variant, column }) =>
      () =>
        html`<${OfVariant} key=${variant.name} variant=${variant.name} column=${column}
          alarm=${needed(variant)} subject=${subject} />`;
    if (all.length === 1) return content(all[0])();
    const tabs = all.map((each) => ({ id: each.variant.name, label: each.variant.name, content: content(each) }));
    return all.length
      ? html`<${Tabs} label="Variants" tabs=${tabs} selected=${chosen || tabs[0].id} onSelect=${choose} />`
      : unknown;
  };
  return html`<p><a href=${`#/${subject}`}>← All ${subject}</a></p><h1>${name}</h1><${Loaded} known=${drift}
    what="This column">${shown}<//>`;
};
