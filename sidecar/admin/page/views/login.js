// Asks for the token of the admin side; the browser keeps a session, never the token.
import { useEffect, useRef, useState } from "preact/hooks";
import { signIn } from "sidecar/store";
import { Field, html } from "sidecar/ui";

export default function View() {
  const [token, setToken] = useState("");
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const input = useRef(null);
  useEffect(() => {
    document.title = "Sign in · sidecar";
    input.current?.focus();
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    const refused = await signIn(token.trim()).then(
      () => null,
      (why) => why,
    );
    if (!refused) return;
    setBusy(false);
    setError(refused);
    input.current?.focus();
  };
  return html`<form class="login card" onSubmit=${submit}>
    <h1>Sign in to sidecar</h1>
    <p>This admin side listens beyond loopback, and demands its token: what the file named
      by <code>admin_token_file</code> holds.</p>
    <${Field} label="Token">${(id) => html`<input id=${id} ref=${input} type="password"
      autocomplete="current-password" required value=${token}
        onInput=${(event) => setToken(event.currentTarget.value)} />`}<//>
    ${error && html`<p class="refused" role="alert">${error.message}</p>`}
    <button type="submit" class="primary" disabled=${busy || !token.trim()} aria-busy=${busy}>Sign in</button>
  </form>`;
}
