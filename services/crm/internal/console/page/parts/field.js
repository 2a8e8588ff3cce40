// Fields of forms, each with its label, its help and what is wrong with it.
import { useId } from "preact/hooks";
import { html } from "../html.js";

/**
 * @typedef {object} Common
 * @property {string} label
 * @property {string} [help]
 * @property {string} [error]
 * @property {any} value
 * @property {(value: any) => void} onValue
 */

/** @param {{id: string, label: string, help?: string, error?: string, children: any}} props */
const Frame = ({ id, label, help, error, children }) => html`<div class="field">
  <label for=${id}>${label}</label>
  ${children}
  ${help && html`<p class="help" id=${id + "-help"}>${help}</p>`}
  ${error && html`<p class="wrong" id=${id + "-error"}>${error}</p>`}
</div>`;

/** @param {string} id @param {string} [help] @param {string} [error] */
const described = (id, help, error) => ({
  id,
  "aria-invalid": error ? "true" : undefined,
  "aria-describedby": [help && id + "-help", error && id + "-error"].filter(Boolean).join(" ") || undefined,
});

/** @param {Common & {type?: string, [more: string]: any}} props */
export function TextField({ label, help, error, value, onValue, type = "text", ...rest }) {
  const id = useId();
  return html`<${Frame} ...${{ id, label, help, error }}>
    <input type=${type} ...${described(id, help, error)} value=${value} onInput=${(/** @type {any} */ e) => onValue(e.currentTarget.value)} ...${rest} />
  <//>`;
}

/** @param {Common & {rows?: number, [more: string]: any}} props */
export function TextArea({ label, help, error, value, onValue, rows = 5, ...rest }) {
  const id = useId();
  return html`<${Frame} ...${{ id, label, help, error }}>
    <textarea rows=${rows} ...${described(id, help, error)} value=${value} onInput=${(/** @type {any} */ e) => onValue(e.currentTarget.value)} ...${rest}></textarea>
  <//>`;
}

/** @param {Common & {options: Record<string, string>, [more: string]: any}} props */
export function Select({ label, help, error, value, onValue, options, ...rest }) {
  const id = useId();
  return html`<${Frame} ...${{ id, label, help, error }}>
    <select ...${described(id, help, error)} onChange=${(/** @type {any} */ e) => onValue(e.currentTarget.value)} ...${rest}>
      ${Object.entries(options).map(([v, text]) => html`<option key=${v} value=${v} selected=${v === value}>${text}</option>`)}
    </select>
  <//>`;
}

/** @param {Common & {[more: string]: any}} props */
export function Checkbox({ label, help, value, onValue, ...rest }) {
  const id = useId();
  return html`<div class="field check">
    <input type="checkbox" ...${described(id, help)} checked=${value} onChange=${(/** @type {any} */ e) => onValue(e.currentTarget.checked)} ...${rest} />
    <label for=${id}>${label}</label>
    ${help && html`<p class="help" id=${id + "-help"}>${help}</p>`}
  </div>`;
}
