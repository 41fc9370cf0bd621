// Elements whose texts may hold anything: names, labels and bodies come out of payloads.
// Preact escapes markup; what is done here is for the eyes.
import { h } from "preact";
import htm from "htm";

// Controls, marks of order and what turns the direction of writing round: with them a name could pass for another.
const UNSHOWABLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

const escaped = (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** A child of an element; of text, what nobody sees as its escape. */
const visible = (child) => {
  if (Array.isArray(child)) return child.map(visible);
  return typeof child === "string" ? child.replace(UNSHOWABLE, escaped) : child;
};

/** Preact's `h`, for texts that may hold anything. */
export const element = (type, props, ...children) => h(type, props, ...children.map(visible));

/** Markup: html`<p class="quiet">${text}</p>`; components as <${Card} title="…">…<//>. */
export const html = htm.bind(element);
