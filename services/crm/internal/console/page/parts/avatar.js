import { html } from "../html.js";

/** Initials, for the eye alone: the name stands beside it. @param {{name: string}} props */
export function Avatar({ name }) {
  const words = name.trim().split(/\s+/);
  const initials = [words[0], words.length > 1 ? words[words.length - 1] : ""].map((w) => [...w][0] ?? "").join("");
  let hue = 0;
  for (const c of name) hue = (hue * 31 + (c.codePointAt(0) ?? 0)) % 6;
  return html`<span class=${`avatar hue-${hue}`} aria-hidden="true">${initials.toUpperCase()}</span>`;
}
