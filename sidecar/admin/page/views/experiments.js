// Which variant is better: verdicts that may be looked at any time, and their intervals closing in.
import { useDocument, useHistory } from "sidecar/store";
import { Badge, Card, Empty, Facts, Loaded, Table, html } from "sidecar/ui";
import { Chart } from "sidecar/chart";
import { NONE, count, moment, number, percent } from "sidecar/format";
import { known, signed } from "./parts.js";

const WORDS = {
  better: ["good", "better"],
  worse: ["bad", "worse"],
  equivalent: ["good", "equivalent"],
  undecided: ["neutral", "undecided"],
  too_few: ["neutral", "too few rows"],
};

const KINDS = { experiment: "Experiment", rollout: "The rollout's guardrails" };

const Word = ({ word }) => html`<${Badge} kind=${WORDS[word]?.[0]}>${WORDS[word]?.[1] ?? word}<//>`;

const said = ({ relative }) => (relative ? (value) => percent(value, 2) : number);

const difference = (verdict) => (verdict.estimate === null ? NONE : signed(verdict.estimate, said(verdict)));

const ends = (verdict) => (known(verdict.low) || known(verdict.high) ? `${known(verdict.low) ? signed(verdict.low, said(verdict)) : "−∞"} to ${known(verdict.high) ? signed(verdict.high, said(verdict)) : "+∞"}` : NONE);

const VERDICTS = [
  { key: "measure", label: "Measure", head: true, value: ({ measure }) => measure },
  { key: "challenger", label: "Challenger", value: ({ challenger }) => challenger },
  { key: "word", label: "Verdict", value: ({ word }) => word, cell: ({ word }) => html`<${Word} word=${word} />` },
  { key: "sentence", label: "In words", cell: ({ sentence }) => html`<div class="long">${sentence}</div>` },
  { key: "estimate", label: "Difference", numeric: true, cell: (verdict) => html`${difference(verdict)}<div class="quiet">${ends(verdict)}</div>` },
  { key: "rows", label: "Rows", numeric: true, cell: ({ rows }) => html`${count(rows.champion)}<div>+ ${count(rows.challenger)}</div>` },
  { key: "to_go", label: "To go", numeric: true, value: (each) => each.rows_to_go, cell: (each) => (each.rows_to_go === 0 ? "none" : count(each.rows_to_go)) },
  { key: "decided", label: "First decided", cell: ({ decided }) => decided && html`${WORDS[decided.word]?.[1] ?? decided.word}, ${moment(decided.at_s)}` },
];

/** Where the interval was: it closes in on the difference. */
const Closing = ({ verdict }) => {
  const history = useHistory("experiments", { name: `${verdict.challenger}/${verdict.measure}` });
  const { estimate = [], low = [], high = [] } = history.data?.series ?? {};
  const margins = verdict.margin > 0 ? [{ value: verdict.margin, label: "margin" }, { value: -verdict.margin, label: "" }] : [];
  const lines = [{ label: "difference", values: estimate, band: [low, high] }];
  return html`<${Card} level=${3} title=${`${verdict.measure}, ${verdict.challenger}`} actions=${html`<${Word} word=${verdict.word} />`}>
    <${Chart} title=${`${verdict.measure} of ${verdict.challenger} less that of the champion`} unit=${verdict.relative ? "ratio" : ""} height=${170} times=${history.data?.times_s ?? []} series=${lines} limits=${[{ value: 0, label: margins.length ? "" : "no difference" }, ...margins]} />
  <//>`;
};

const Users = ({ mismatch, sides }) =>
  html`<${Facts} facts=${[
      ...mismatch.users.map(({ variant, count: users, share }) => [`Users of ${variant}`, `${count(users)}, ${percent(share)}`]),
      ["Shares kept", mismatch.alarm ? html`<${Badge} kind="bad">no: sample ratio mismatch<//>` : html`yes <span class="quiet">(p = ${number(mismatch.p_value)})</span>`],
      ["Users on several sides", percent(sides.crossed)],
      ["Moved by other weights", percent(sides.moved)],
    ]} />`;

const CHARTS = 8;

/** A rollout's name ends with when it began, in seconds: that stands below as a time. */
const titleOf = ({ kind, name }) => `${KINDS[kind] ?? kind}: ${name.replace(/, since [0-9.]+$/, "")}`;

const Experiment = ({ experiment, drawn }) =>
  html`<${Card} title=${titleOf(experiment)}>
    ${experiment.cautions.map((caution) => html`<p key=${caution}><${Badge} kind="warn">caution<//> ${caution}</p>`)}
    <${Facts} facts=${[
      ["Since", moment(experiment.since_s)],
      ["Wrong verdicts, ever", `${percent(experiment.wrong)} of such experiments at most`],
      ...Object.entries(experiment.rows).map(([variant, rows]) => [`Requests of ${variant}`, count(rows)]),
      ["No verdict below", `${count(experiment.min_rows)} rows`],
    ]} />
    <${Table} caption="Verdicts" hidden rows=${experiment.verdicts} rowKey=${({ measure, challenger }) => `${challenger}/${measure}`} columns=${VERDICTS} empty="No challenger has any traffic yet." />
    ${drawn.length > 0 && html`<p class="quiet">The shaded interval holds at all looks at once: it may be acted upon at any time. Beyond 0 it is a verdict; wholly within the margins, equivalent.</p>
      <div class="grid" style=${{ gridTemplateColumns: "repeat(auto-fit, minmax(min(100%, 360px), 1fr))" }}>${drawn.slice(0, CHARTS).map((verdict) => html`<${Closing} key=${`${verdict.challenger}/${verdict.measure}`} verdict=${verdict} />`)}</div>`}
    <${Users} mismatch=${experiment.mismatch} sides=${experiment.sides} />
  <//>`;

/** The past is kept of the first experiment that has a challenger. */
const drawnOf = (experiments, at) => {
  const before = new Set(experiments.slice(0, at).flatMap(({ verdicts }) => verdicts.map(({ challenger }) => challenger)));
  return experiments[at].verdicts.filter(({ challenger }) => !before.has(challenger));
};

const NONE_YET = html`<${Card} title="Experiments"><${Empty} title="No experiment is configured" code=${`variants:
  champion: {url: "http://127.0.0.1:8081", version: "3"}
  challenger: {url: "http://127.0.0.1:8082", version: "4"}
experiment:
  name: fraud-4
  champion: champion
  measures: [{kind: errors, margin: 0.002}, {kind: latency, quantile: 0.99, margin_ratio: 0.1}]
state: /var/lib/sidecar`}>
  An experiment says of each challenger and measure whether it is better, worse or equivalent, with a stated probability of ever being wrong.
<//><//>`;

/** All experiments: that of the configuration, and what the rollout's guardrails are judged by. */
export const Experiments = () => {
  const document = useDocument("experiments");
  const shown = ({ experiments }) => (experiments.length ? experiments.map((each, at) => html`<${Experiment} key=${each.kind} experiment=${each} drawn=${drawnOf(experiments, at)} />`) : NONE_YET);
  return html`<${Loaded} known=${document} what="The experiments" missing=${NONE_YET}>${shown}<//>`;
};
