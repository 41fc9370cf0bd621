// The shell: which view is shown, and what stands around it. A view brings its own <h1>.
import { render } from "preact";
import { useEffect, useErrorBoundary, useRef, useState } from "preact/hooks";
import { askSession, signOut, useConnection, useDocument, useSession } from "sidecar/store";
import { Badge, Failure, html } from "sidecar/ui";

/** Path, word in the navigation, module. */
const VIEWS = [
  ["overview", "Overview", () => import("sidecar/views/overview")],
  ["alerts", "Alerts", () => import("sidecar/views/alerts")],
  ["features", "Features", () => import("sidecar/views/features")],
  ["predictions", "Predictions", () => import("sidecar/views/predictions")],
  ["quality", "Quality", () => import("sidecar/views/quality")],
  ["bias", "Bias", () => import("sidecar/views/bias")],
  ["versions", "Versions", () => import("sidecar/views/versions")],
  ["captures", "Captures", () => import("sidecar/views/captures")],
  ["sidecar", "Sidecar", () => import("sidecar/views/sidecar")],
];

const THEMES = ["system", "light", "dark"];

const go = (path) => {
  location.hash = `#/${path}`;
};

const decoded = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // Typed by hand, with a lone %.
  }
};

/** `#/features/amount`: the view, and what of it. Whatever is unknown is the overview. */
const place = () => {
  const [, name = "", parameter = ""] = /^#\/([^/]*)\/?(.*)$/.exec(location.hash) ?? [];
  const view = VIEWS.find(([path]) => path === name) ?? VIEWS[0];
  return { view, parameter: decoded(parameter) };
};

const usePlace = () => {
  const [now, setNow] = useState(place);
  useEffect(() => {
    const moved = () => setNow(place());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return now;
};

const kept = () => (THEMES.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "system");

const dress = (theme) => {
  document.documentElement.dataset.theme = theme;
};

const Theme = () => {
  const [theme, setTheme] = useState(kept);
  const choose = (event) => {
    localStorage.setItem("theme", event.currentTarget.value);
    dress(event.currentTarget.value);
    setTheme(event.currentTarget.value);
  };
  return html`<label class="theme"><span class="unseen">Colours</span>
    <select value=${theme} onChange=${choose}>${THEMES.map((name) => html`<option key=${name}
      value=${name}>${name}</option>`)}</select>
  </label>`;
};

const CONNECTIONS = {
  live: html`<${Badge} kind="good">live<//>`,
  asking: html`<${Badge} kind="warn">every 10 s: too many look on<//>`,
  connecting: html`<${Badge}>connecting<//>`,
  lost: html`<${Badge} kind="bad">no connection: what is shown may be old<//>`,
};

/** Says to who does not see it that an alert has begun to fire; says nothing of those that did before. */
const Herald = ({ alerts }) => {
  const told = useRef(null);
  const [said, setSaid] = useState("");
  useEffect(() => {
    if (!alerts) return;
    const firing = alerts.filter(({ state }) => state === "firing");
    const fresh = told.current && firing.filter(({ id }) => !told.current.has(id));
    told.current = new Set(firing.map(({ id }) => id));
    if (fresh?.length) setSaid(`New alert: ${fresh.map(({ title }) => title).join("; ")}`);
  }, [alerts]);
  return html`<div class="unseen" role="status" aria-live="polite">${said}</div>`;
};

const Navigation = ({ now, firing }) =>
  html`<nav aria-label="Views">
    <ul>
      ${VIEWS.map(
        ([path, word]) => html`<li key=${path}>
        <a href=${`#/${path}`} aria-current=${path === now ? "page" : undefined}>
          ${word}${path === "alerts" && firing > 0 && html` <span class="firing">${firing}<span
            class="unseen"> firing</span></span>`}
        </a>
      </li>`,
      )}
    </ul>
  </nav>`;

const Guarded = ({ children }) => {
  const [error] = useErrorBoundary();
  return error ? html`<h1>A fault of this page</h1><${Failure} error=${error} what="The view" />` : children;
};

/** The view's module, once it is there; `null` before. */
const useView = ([path, , load]) => {
  const [loaded, setLoaded] = useState({ path: "", View: null, error: null });
  useEffect(() => {
    let gone = false;
    load().then(
      (module) => gone || setLoaded({ path, View: module.default, error: null }),
      (error) => gone || setLoaded({ path, View: null, error }),
    );
    return () => {
      gone = true;
    };
  }, [path]);
  return loaded.path === path ? loaded : { View: null, error: null };
};

const Shown = ({ view, parameter }) => {
  const { View, error } = useView(view);
  if (error) return html`<h1>${view[1]}</h1><${Failure} error=${error} what="The view" />`;
  return View && html`<${Guarded} key=${view[0]}><${View} parameter=${parameter} go=${go} /><//>`;
};

/** Who moves by keyboard or listens goes on in the view that was asked for; not on the first look. */
const useArrival = (main, { view, parameter }) => {
  const first = useRef(true);
  useEffect(() => {
    document.title = `${parameter ? `${parameter} · ` : ""}${view[1]} · sidecar`;
    if (!first.current) {
      main.current.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    first.current = false;
  }, [view[0], parameter]);
};

const Dashboard = () => {
  const now = usePlace();
  const main = useRef(null);
  const { data } = useDocument("alerts");
  const connection = useConnection();
  const session = useSession();
  useArrival(main, now);
  const skip = (event) => {
    event.preventDefault();
    main.current.focus();
  };
  const firing = data?.alerts.filter(({ state }) => state === "firing").length ?? 0;
  return html`<a class="skip" href="#main" onClick=${skip}>Skip to the view</a>
    <header class="top">
      <a class="brand" href="#/overview">sidecar</a>
      <span role="status">${CONNECTIONS[connection]}</span>
      <${Theme} />
      ${session.needed && html`<button type="button" onClick=${signOut}>Sign out</button>`}
    </header>
    <${Navigation} now=${now.view[0]} firing=${firing} />
    <main id="main" ref=${main} tabindex="-1"><${Shown} ...${now} /></main>
    <${Herald} alerts=${data?.alerts} />`;
};

const Login = () => {
  const { View } = useView(["login", "Sign in", () => import("sidecar/views/login")]);
  return html`<main id="main">${View && html`<${View} go=${go} />`}</main>`;
};

const App = () => {
  const session = useSession();
  return session.needed && !session.in ? html`<${Login} />` : html`<${Dashboard} />`;
};

dress(kept());
askSession().then(() => render(html`<${App} />`, document.getElementById("app")));
