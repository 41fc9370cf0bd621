// What views are made of.
// Preact escapes text: what comes from payloads goes in as children or attributes, never as markup.
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { element, html } from "./element.js";
import { NONE, clock, count, percent } from "sidecar/format";

export { html };

/** Class names, without what is false. */
export const classes = (...names) => names.filter(Boolean).join(" ");

/**
 * A section with a heading (h2; h3 with `level` 3), `actions` on its right; `kind` marks its left edge.
 * @param {{title: any, actions?: any, id?: string, level?: 2 | 3, kind?: "good" | "warn" | "bad", children: any}} props
 */
export const Card = ({ title, actions, id, level = 2, kind, children }) => {
  const heading = useId();
  return html`<section class=${classes("card", kind)} id=${id} aria-labelledby=${heading}>
    <header>
      ${element(`h${level}`, { id: heading }, title)}
      ${actions && html`<div class="actions">${actions}</div>`}
    </header>
    ${children}
  </section>`;
};

const SHAPES = { good: "●", warn: "▲", bad: "■", neutral: "○" };

/** A word with a shape; the kind is never told by colour alone. */
export const Badge = ({ kind = "neutral", children }) =>
  html`<span class="badge ${kind}"><span aria-hidden="true">${SHAPES[kind]}</span> ${children}</span>`;

/** Terms and what they are, in columns: `facts` is [[term, value], …]; a false one is left out. */
export const Facts = ({ facts }) =>
  html`<dl class="facts">
    ${facts.filter(Boolean).map(([term, value]) => html`<div
      key=${term}><dt>${term}</dt><dd>${value ?? NONE}</dd></div>`)}
  </dl>`;

/** A link to a URL out of a document: only where it is http(s); text else. */
export const Link = ({ href, children }) => {
  const safe = /^https?:\/\//i.test(href ?? "");
  return safe
    ? html`<a href=${href} rel="noreferrer noopener" target="_blank">${children ?? href}</a>`
    : html`<span>${children ?? href}</span>`;
};

/** A button for a call: waits while it runs, and shows in the server's words why it was refused. `act` is async. */
export const Button = ({ act, kind, disabled, children }) => {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const press = async () => {
    setBusy(true);
    setError(
      await act().then(
        () => null,
        (why) => why,
      ),
    );
    setBusy(false);
  };
  return html`<span class="call">
    <button type="button" class=${kind} disabled=${disabled || busy} aria-busy=${busy}
      onClick=${press}>${children}</button>
    ${error && html`<span class="refused" role="alert">${error.message}</span>`}
  </span>`;
};

/** Nothing is here yet: what is missing, and what to put where. `code` is a sample, as text. */
export const Empty = ({ title, code, children }) =>
  html`<div class="empty">
    <p class="title">${title}</p>
    ${children && html`<p>${children}</p>`}
    ${code && html`<pre tabindex="0" aria-label="Sample"><code>${code}</code></pre>`}
  </div>`;

/** Something could not be had: an Error, in the server's words, and since when what is shown is old. */
export const Failure = ({ error, at, what = "This" }) => {
  const fact = at ? "cannot be shown as it is now" : "cannot be shown";
  const since = at ? `; below is how it was at ${clock(at / 1e3)}` : "";
  return html`<div class="failure" role="alert">
    <p><${Badge} kind="bad">${what} ${fact}<//> ${error.message}${since}.</p>
  </div>`;
};

/**
 * What `useDocument` or `useFetched` knows: waits, fails, shows `missing` for a 404 (nothing is configured), or
 * `children(data)`.
 * @param {{known: import("sidecar/store").Known, what?: string, missing?: any, children: (data: any) => any}} props
 */
export const Loaded = ({ known, what, missing, children }) => {
  const show = Array.isArray(children) ? children[0] : children;
  if (known.error?.status === 404 && missing) return missing;
  if (known.data === null)
    return known.error
      ? html`<${Failure} error=${known.error} what=${what} />`
      : html`<p class="quiet" aria-busy="true">Waiting for the sidecar …</p>`;
  return html`${known.error && html`<${Failure} error=${known.error} at=${known.at}
    what=${what} />`}${show(known.data)}`;
};

const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

/** Of two values: what is undefined comes last, whichever way it is sorted. */
const compare = (a, b, descending) => {
  if (!known(a) || !known(b)) return known(b) - known(a);
  const order = typeof a === "string" ? String(a).localeCompare(String(b), "en", { numeric: true }) : a - b;
  return descending ? -order : order;
};

/** Rows in the order of a column's `value`; a copy, stable. */
const sorted = (rows, column, descending) =>
  column?.value ? [...rows].sort((a, b) => compare(column.value(a), column.value(b), descending)) : rows;

const Heading = ({ column, sort, onSort }) => {
  const now = sort.key === column.key;
  const text = html`${column.label}<span class="arrow"
    aria-hidden="true">${now ? (sort.descending ? " ▼" : " ▲") : ""}</span>`;
  const order = now ? (sort.descending ? "descending" : "ascending") : "none";
  return html`<th scope="col" class=${column.numeric && "numeric"} aria-sort=${column.value ? order : undefined}>
    ${column.value ? html`<button type="button" onClick=${() => onSort(column)}>${text}</button>` : column.label}
  </th>`;
};

/**
 * A table that scrolls inside its card. A column sorts by `value(row)` where it has one, and shows `cell(row)` or the
 * value.
 * @typedef {{key: string, label: any, value?: (row: any) => any, cell?: (row: any) => any, numeric?: boolean,
 *   head?: boolean, descending?: boolean}} Column `descending` (as if `numeric`) is how the first press sorts.
 * @param {{caption: any, columns: Column[], rows: any[], rowKey: (row: any) => string,
 *   sort?: {key: string, descending?: boolean},
 *   limit?: number, hidden?: boolean, empty?: any}} props `head` cells are row headers; `hidden` shows the caption to
 *   screen readers only; more than `limit` (50) rows come by "show more".
 */
export const Table = ({
  caption,
  columns,
  rows,
  rowKey,
  sort: first = { key: "" },
  limit = 50,
  hidden,
  empty = "Nothing.",
}) => {
  const [sort, setSort] = useState(first);
  const [shown, setShown] = useState(limit);
  const onSort = ({ key, numeric, descending }) =>
    setSort((old) => ({ key, descending: old.key === key ? !old.descending : Boolean(descending ?? numeric) }));
  const all = sorted(
    rows,
    columns.find(({ key }) => key === sort.key),
    sort.descending,
  );
  const cell = (row, column) =>
    element(
      column.head ? "th" : "td",
      { key: column.key, scope: column.head ? "row" : undefined, class: column.numeric ? "numeric" : undefined },
      (column.cell ?? column.value)(row) ?? NONE,
    );
  return html`<div class="scroll" tabindex="0" role="group"
    aria-label=${typeof caption === "string" ? `${caption}, table` : "Table"}>
      <table>
        <caption class=${hidden && "unseen"}>${caption}</caption>
        <thead><tr>${columns.map((column) => html`<${Heading} key=${column.key} column=${column} sort=${sort}
          onSort=${onSort} />`)}</tr></thead>
        <tbody>${all.slice(0, shown).map((row) => html`<tr
          key=${rowKey(row)}>${columns.map((column) => cell(row, column))}</tr>`)}</tbody>
      </table>
    </div>
    ${rows.length === 0 && html`<p class="quiet">${empty}</p>`}
    ${all.length > shown && html`<p><button type="button"
      onClick=${() => setShown(shown + limit)}>Show ${Math.min(limit, all.length - shown)} more</button> <span
        class="quiet">${count(shown)} of ${count(all.length)}</span></p>`}`;
};

const summary = (column) => {
  const { bins, reference, current } = column;
  const moves = bins
    .map((bin, at) => ({ bin, was: reference[at], is: current?.[at] }))
    .filter(({ was, is }) => known(was) && known(is));
  if (!moves.length) return `Reference over ${bins.length} bins; no row to compare yet.`;
  const told = moves.sort((a, b) => Math.abs(b.is - b.was) - Math.abs(a.is - a.was)).slice(0, 3);
  const words = told.map(({ bin, was, is }) => `${bin}: ${percent(was)} to ${percent(is)}`);
  return `Reference against ${sideOf([column])}. ${words.join("; ")}.`;
};

/** What the current shares of columns are of: "current window"; before there is one, "450 rows so far". */
export const sideOf = (columns) => {
  const some = columns.find(({ current }) => current !== null);
  return !some || some.current_whole ? "current window" : `${count(some.current_rows)} rows so far`;
};

/**
 * Shares of bins, reference (outlined) beside current (filled), with a text alternative.
 * @param {{bins: string[], reference: (number | null)[], current: (number | null)[] | null, current_rows: number,
 *   current_whole: boolean, large?: boolean}} props
 */
export const Distribution = ({ large = false, ...column }) => {
  const { bins, reference, current } = column;
  const [high, wide] = large ? [160, 600] : [28, 120];
  const most = Math.max(1e-9, ...reference.filter(known), ...(current ?? []).filter(known));
  const step = wide / Math.max(bins.length, 1);
  const thick = Math.max(step * 0.4, 1);
  const bar = (name, offset) => (share, at) => {
    const tall = known(share) ? Math.max((share / most) * (high - 2), share > 0 ? 1 : 0) : 0;
    return html`<rect key=${name + at} class=${name} x=${at * step + offset} y=${high - tall} width=${thick}
      height=${tall}><title>${bins[at]}: ${name} ${percent(share)}</title></rect>`;
  };
  return html`<svg class=${classes("distribution", large && "large")} viewBox="0 0 ${wide} ${high}"
    preserveAspectRatio="none" role="img" aria-label=${summary(column)}>
    ${reference.map(bar("reference", step * 0.08))}
    ${(current ?? []).map(bar("current", step * 0.52))}
  </svg>`;
};

/** What the bars of a Distribution are; `now` as `sideOf` has it. */
export const Legend = ({ now = "current window" }) =>
  html`<p class="legend"><span class="swatch reference" aria-hidden="true"></span> reference <span
    class="swatch current" aria-hidden="true"></span> ${now}</p>`;

/**
 * Tabs with their panel; arrows, Home and End move. `content` is called for the selected one only.
 * @param {{label: string, tabs: {id: string, label: any, content: () => any}[], selected: string,
 *   onSelect: (id: string) => void}} props
 */
export const Tabs = ({ label, tabs, selected, onSelect }) => {
  const base = useId();
  const buttons = useRef({});
  const at = Math.max(
    tabs.findIndex(({ id }) => id === selected),
    0,
  );
  const places = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 };
  const move = (event) => {
    if (!(event.key in places)) return;
    event.preventDefault();
    const next = tabs[(places[event.key] + tabs.length) % tabs.length].id;
    onSelect(next);
    buttons.current[next]?.focus();
  };
  if (!tabs.length) return null;
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>
      ${tabs.map(
        ({ id, label: text }, place) => html`<button type="button" role="tab" key=${id} id=${`${base}-${place}`} ref=${(
          node,
        ) => {
          buttons.current[id] = node;
        }}
        aria-selected=${place === at ? "true" : "false"} aria-controls=${place === at ? `${base}-panel` : undefined}
          tabindex=${place === at ? 0 : -1} onClick=${() => onSelect(id)}>${text}</button>`,
      )}
    </div>
    <div role="tabpanel" id=${`${base}-panel`} aria-labelledby=${`${base}-${at}`}>${tabs[at].content()}</div>`;
};

/** A field with its label; `children` is the control, which gets the id: (id) => html`<input id=${id} />`. */
export const Field = ({ label, children }) => {
  const id = useId();
  return html`<div class="field"><label
    for=${id}>${label}</label>${(Array.isArray(children) ? children[0] : children)(id)}</div>`;
};

/**
 * Asks before something is done: a modal dialog; mount it to ask. `act(reason)` is async: the dialog closes when it is
 * done, and shows the server's words when it was refused.
 * @param {{title: string, action: string, danger?: boolean, reason?: boolean, act: (reason: string) => Promise<any>,
 *   onClose: () => void, children?: any}} props `action` is the button's word; `reason` asks for one (required).
 */
export const Confirm = ({ title, action, danger, reason, act, onClose, children }) => {
  const dialog = useRef(null);
  const heading = useId();
  const [why, setWhy] = useState("");
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    const before = document.activeElement;
    dialog.current.showModal();
    return () => before?.focus?.();
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    const refused = await act(why.trim()).then(
      () => null,
      (refusal) => refusal,
    );
    setBusy(false);
    refused ? setError(refused) : onClose();
  };
  return html`<dialog ref=${dialog} aria-labelledby=${heading} onClose=${onClose}>
    <form onSubmit=${submit}>
      <h2 id=${heading}>${title}</h2>
      ${children}
      ${reason && html`<${Field} label="Why (kept in the audit)">${(id) => html`<input id=${id} type="text" required
        maxlength="500" value=${why} onInput=${(event) => setWhy(event.currentTarget.value)} />`}<//>`}
      ${error && html`<p class="refused" role="alert">${error.message}</p>`}
      <div class="actions">
        <button type="button" onClick=${onClose}>Cancel</button>
        <button type="submit" class=${danger ? "danger" : "primary"} disabled=${busy}
          aria-busy=${busy}>${action}</button>
      </div>
    </form>
  </dialog>`;
};
