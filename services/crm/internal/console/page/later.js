// Views that are fetched when they are first shown.
import { signal } from "@preact/signals";
import { useLayoutEffect } from "preact/hooks";
import { Problem } from "./api.js";
import { html } from "./html.js";
import { Trouble } from "./parts/form.js";
import { Skeleton } from "./parts/states.js";

const missing = new Problem(0, { detail: "This page could not be fetched. What you typed elsewhere is kept." });

/**
 * A view of a module. When that can't be fetched, for example since the service has a new
 * version, the whole page is to be loaded again.
 * @param {() => Promise<any>} load
 * @param {string} name of the view in its module
 */
export function later(load, name) {
  /** @type {import("@preact/signals").Signal<any>} */
  const view = signal(undefined);
  const failed = signal(false);
  return (/** @type {any} */ props) => {
    useLayoutEffect(() => {
      if (!view.value) load().then((module) => (view.value = module[name]), () => (failed.value = true));
    }, []);
    if (view.value) return html`<${view.value} ...${props} />`;
    return failed.value ? html`<${Trouble} problem=${missing} retry=${() => location.reload()} />` : html`<${Skeleton} />`;
  };
}
