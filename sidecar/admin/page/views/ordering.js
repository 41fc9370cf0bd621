// Changes that somebody asks for here: with a reason, a name for the audit, and the revision that was looked at.
import { put, send } from "sidecar/store";
import { useState } from "preact/hooks";
import { Confirm, Field, html } from "sidecar/ui";

const NAME = "sidecar.by";
const NAMELESS = "dashboard";

/** Who the audit says it was: what was typed last in this browser. */
export const byWhom = () => localStorage.getItem(NAME) || NAMELESS;

/**
 * Send a change of the routes; what is in force then is shown at once. Whoever was quicker is told of by the server's 412.
 * @param {string} path @param {object} body @param {number} revision That was looked at.
 */
export const change = async (path, body, revision) => {
  const routes = await send("POST", path, { ...body, by: byWhom() }, { "If-Match": `"${revision}"` });
  put("routes", routes);
};

const Name = () => {
  const [name, setName] = useState(localStorage.getItem(NAME) ?? "");
  const typed = (event) => {
    setName(event.currentTarget.value);
    localStorage.setItem(NAME, event.currentTarget.value.trim());
  };
  return html`<${Field} label="Your name (kept in the audit)">${(id) => html`<input id=${id} type="text" maxlength="128" autocomplete="name" placeholder=${NAMELESS} value=${name} onInput=${typed} />`}<//>`;
};

/** A Confirm that wants a reason and asks for the name. */
export const Asked = ({ children, ...props }) => html`<${Confirm} ...${props} reason>${children}<${Name} /><//>`;
