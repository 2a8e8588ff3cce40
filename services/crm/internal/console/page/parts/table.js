// A table with its pages: the first one at once, the others as one asks for them.
import { useState } from "preact/hooks";
import { call, queryString } from "../api.js";
import { html } from "../html.js";
import { useData } from "../store.js";
import { Button } from "./button.js";
import { Loaded } from "./states.js";

/**
 * @typedef {object} Column
 * @property {string} title
 * @property {(item: any) => any} cell
 * @property {string} [class]
 */

/**
 * A list of the API as a table. The key names its data in the store.
 * @param {{name: string, path: string, query?: Record<string, any>, columns: Column[], empty: any, caption: string}} props
 */
export function Table({ name, path, query = {}, columns, empty, caption }) {
  const [cursors, setCursors] = useState(/** @type {string[]} */ ([""]));
  const text = queryString(query);
  return html`<div class="table-wrap"><table>
    <caption class="visually-hidden">${caption}</caption>
    <thead><tr>${columns.map((c) => html`<th key=${c.title} scope="col">${c.title || html`<span class="visually-hidden">Actions</span>`}</th>`)}</tr></thead>
    ${cursors.map((cursor, i) => html`<${Rows} key=${text + cursor} ...${{ name, path, query, columns, cursor, empty }} last=${i === cursors.length - 1}
      onMore=${(/** @type {string} */ next) => setCursors([...cursors.slice(0, i + 1), next])} />`)}
  </table></div>`;
}

/** @param {any} props */
function Rows({ name, path, query, columns, cursor, empty, last, onMore }) {
  const all = { ...query, limit: 50, cursor };
  const data = useData(`${name} ${queryString(all)}`, () => call("GET", path, { query: all }));
  const wide = (/** @type {any} */ content) => html`<tbody><tr><td colspan=${columns.length}>${content}</td></tr></tbody>`;
  if (data.value === undefined) return wide(html`<${Loaded} data=${data}>${() => null}<//>`);
  const { items, next_cursor: next } = data.value;
  if (items.length === 0 && !cursor) return wide(empty);
  return html`<tbody>
    ${items.map((/** @type {any} */ item) => html`<tr key=${item.id}>${columns.map((/** @type {Column} */ c) => html`<td key=${c.title} class=${c.class} data-title=${c.title}>${c.cell(item)}</td>`)}</tr>`)}
    ${next && last && html`<tr><td colspan=${columns.length}><${Button} onClick=${() => onMore(next)}>More<//></td></tr>`}
  </tbody>`;
}
