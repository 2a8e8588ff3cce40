// Filters of a list, which stand in the address.
import { html } from "../html.js";
import { filter, place } from "../router.js";

/** @param {{label: string, name: string, options: Record<string, string>}} props */
export const FilterSelect = ({ label, name, options }) => html`<select aria-label=${label} onChange=${(/** @type {any} */ e) => filter({ [name]: e.currentTarget.value })}>
  ${Object.entries(options).map(([v, text]) => html`<option key=${v} value=${v} selected=${v === (place.value.query.get(name) ?? "")}>${text}</option>`)}
</select>`;

/** @param {{label: string, name: string, type?: string, placeholder?: string}} props */
export function FilterText({ label, name, type = "search", placeholder }) {
  const set = (/** @type {any} */ e) => filter({ [name]: e.currentTarget.value.trim() });
  return html`<input type=${type} aria-label=${label} placeholder=${placeholder ?? label} value=${place.value.query.get(name) ?? ""} onChange=${set}
    onKeyDown=${(/** @type {any} */ e) => e.key === "Enter" && set(e)} />`;
}

/** The filters in the address, as a query of the API. @param {...string} names */
export const filtersOf = (...names) => Object.fromEntries(names.map((n) => [n, place.value.query.get(n) ?? ""]));
