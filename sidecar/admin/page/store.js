// What the page knows: documents kept live by one stream, histories, and calls.
// Paths are those below /v1, without the slash.
import { useEffect, useReducer, useState } from "preact/hooks";

/**
 * @typedef {object} Known What is known of a document.
 * @property {any} data As it was last received; null before. It stays while an error lasts.
 * @property {Error & {status?: number} | null} error Why there is nothing newer.
 * @property {number} at When it was received, in ms; 0 before.
 */

const SETTLE_MS = 60; // A view's components ask one after the other: one stream for all.
const RETRY_MS = 10_000;
const HISTORY_S = 10;
const BLIP_MS = 6000; // Streams end now and then, and come back within the two seconds that the sidecar asks for.

const NOTHING = { data: null, error: null, at: 0 };

const documents = new Map();
const users = new Map();
const watchers = new Set();
let stream = null;
let streamed = "";
let settling = 0;
let retrying = 0;
let blinking = 0;
let connection = "connecting";
let session = { needed: false, in: true };

const tell = () => watchers.forEach((watcher) => watcher());

const keep = (name, known) => {
  documents.set(name, { ...(documents.get(name) ?? NOTHING), ...known });
  tell();
};

const connected = (state) => {
  clearTimeout(blinking);
  blinking = 0;
  connection = state;
  tell();
};

const useChanges = () => {
  const [, again] = useReducer((n) => n + 1, 0);
  useEffect(() => {
    watchers.add(again);
    again();
    return () => watchers.delete(again);
  }, []);
};

/** An Error with the HTTP status, in the server's own words where it has any. */
const failed = (message, status) => Object.assign(new Error(message), { status });

const refusal = async (reply) => {
  const said = await reply.json().catch(() => null);
  if (reply.status === 401) setSession({ needed: true, in: false });
  return failed(said?.error?.message ?? `the sidecar answered ${reply.status}`, reply.status);
};

/** Ask and read JSON; throws an Error with the server's message and `.status` (0: no answer at all). */
export const send = async (method, path, body, headers = {}) => {
  const json = body === undefined ? {} : { "Content-Type": "application/json" };
  const init = { method, headers: { Accept: "application/json", ...json, ...headers }, cache: "no-store" };
  const reply = await fetch(`/v1/${path}`, {
    ...init,
    body: body === undefined ? undefined : JSON.stringify(body),
  }).catch(() => {
    throw failed("the sidecar does not answer", 0);
  });
  if (!reply.ok) throw await refusal(reply);
  return reply.status === 204 ? null : reply.json();
};

/** `send("GET", path)`. */
export const get = (path) => send("GET", path);

const wanted = () => [...users.keys()].sort().join(",");

const fetchAll = () =>
  [...users.keys()].forEach((name) =>
    get(name).then(
      (data) => {
        connection = "asking";
        keep(name, { data, error: null, at: Date.now() });
      },
      (error) => keep(name, error.status === 404 ? { data: null, error } : { error }),
    ),
  );

const shut = () => {
  stream?.close();
  stream = null;
  streamed = "";
  clearTimeout(retrying);
};

// EventSource tries again by itself where the connection broke, and not where it was refused: by 401, or by 503 with 20
// streams open. The documents themselves are asked then: they tell why, or are there all the same.
const broke = () => {
  if (stream?.readyState !== EventSource.CLOSED) {
    blinking ||= setTimeout(() => connected("lost"), BLIP_MS);
    return;
  }
  connected("lost");
  shut();
  fetchAll();
  retrying = setTimeout(settle, RETRY_MS);
};

const received = (event) => keep(event.type, { data: JSON.parse(event.data), error: null, at: Date.now() });

const refused = (event) => {
  const { of, status, message } = JSON.parse(event.data);
  keep(of, { data: null, error: failed(message, status), at: Date.now() });
};

const open = (names) => {
  shut();
  if (!names || document.hidden) return;
  streamed = names;
  stream = new EventSource(`/v1/live?of=${names}`);
  stream.onopen = () => connected("live");
  stream.onerror = broke;
  stream.addEventListener("failed", refused);
  names.split(",").forEach((name) => stream.addEventListener(name, received));
};

const settle = () => {
  clearTimeout(settling);
  settling = setTimeout(() => wanted() !== streamed && open(wanted()), SETTLE_MS);
};

// Nobody looks at a hidden page: it costs the sidecar nothing.
document.addEventListener("visibilitychange", () => (document.hidden ? shut() : settle()));

const use = (name) => {
  users.set(name, (users.get(name) ?? 0) + 1);
  settle();
  return () => {
    const left = users.get(name) - 1;
    left ? users.set(name, left) : users.delete(name);
    settle();
  };
};

/**
 * A document of /v1, live while the component is shown. A 404 in `error.status`: nothing is
 * configured for it.
 * @param {string} name "status", "drift", "routes/changes", ...; null for none.
 * @returns {Known}
 */
export const useDocument = (name) => {
  useChanges();
  useEffect(() => (name ? use(name) : undefined), [name]);
  return documents.get(name) ?? NOTHING;
};

/** Shows what a call answered: after a silence, `put("alerts", …)` spares the wait for the stream. */
export const put = (name, data) => keep(name, { data, error: null, at: Date.now() });

/**
 * What is not live: asked when shown, when `path` changes, every `everyS` seconds if given, and by `again()`.
 * @param {string | null} path Below /v1, with its query; null for none yet.
 * @returns {Known & {again: () => void}}
 */
export const useFetched = (path, everyS = 0) => {
  const [known, setKnown] = useState({ path, ...NOTHING });
  const [turn, again] = useReducer((n) => n + 1, 0);
  useEffect(() => {
    if (!path) return undefined;
    let gone = false;
    const learn = (more) => gone || setKnown((old) => ({ ...(old.path === path ? old : NOTHING), ...more, path }));
    const ask = () =>
      document.hidden ||
      get(path).then(
        (data) => learn({ data, error: null, at: Date.now() }),
        (error) => learn({ error }),
      );
    ask();
    const timer = everyS ? setInterval(ask, everyS * 1e3) : 0;
    return () => {
      gone = true;
      clearInterval(timer);
    };
  }, [path, everyS, turn]);
  return { ...(known.path === path ? known : NOTHING), again };
};

/**
 * The last hour (or `span: "day"`) of something, asked every 10 s; `of` null asks nothing.
 * @param {"traffic" | "drift" | "quality" | "experiments" | "evidence" | null} of
 * @param {{variant?: string, name?: string, span?: "hour" | "day"}} which
 * @returns {Known} data: `{times_s: number[], series: Object<string, (number | null)[]>}`
 */
export const useHistory = (of, which = {}) => {
  const given = Object.entries({ of, ...which }).filter(([, value]) => value !== undefined && value !== null);
  return useFetched(of ? `history?${new URLSearchParams(given)}` : null, HISTORY_S);
};

/** "live"; "asking", every 10 s, where there is no stream; "connecting", or "lost": what is shown may be old then. */
export const useConnection = () => {
  useChanges();
  return connection;
};

const setSession = (now) => {
  session = now;
  tell();
};

/** Whether a token is needed, and given: `{needed, in}`. */
export const useSession = () => {
  useChanges();
  return session;
};

/** Ask the sidecar whether a token is needed. Older ones, or none at all: the calls themselves will tell. */
export const askSession = () => get("session").then(setSession, () => undefined);

/** Give the token; throws in the server's words. */
export const signIn = async (token) => {
  await send("POST", "session", { token });
  setSession({ needed: true, in: true });
  shut();
  settle();
};

/** Forget the session, here and there. */
export const signOut = async () => {
  await send("DELETE", "session").catch(() => undefined);
  shut();
  documents.clear();
  setSession({ needed: true, in: false });
};
