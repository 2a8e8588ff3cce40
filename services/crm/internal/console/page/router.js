// The address bar: which page is shown, and with which filters.
import { signal } from "@preact/signals";

const kept = "fixdesk list";

/** Where we are. */
export const place = signal(read());

function read() {
  return { path: location.pathname, query: new URLSearchParams(location.search), hash: location.hash.slice(1) };
}

/**
 * Goes to another page of the console.
 * @param {string} address
 * @param {{replace?: boolean}} [options] replace takes the place of this page in the history
 */
export function go(address, { replace = false } = {}) {
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  const from = place.value.path;
  place.value = read();
  if (place.value.path !== from) scrollTo(0, 0);
}

/** The list of tickets that this tab has shown last: where a ticket leads back to. */
export const lastList = signal(sessionStorage.getItem(kept) ?? "/tickets");
lastList.subscribe((address) => sessionStorage.setItem(kept, address));

/**
 * Sets filters in the address; undefined and empty ones are removed.
 * @param {Record<string, string | undefined>} changes
 */
export function filter(changes) {
  const query = new URLSearchParams(place.value.query);
  for (const [name, value] of Object.entries(changes)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const text = query.toString().replaceAll("%2C", ",");
  go(place.value.path + (text && "?" + text), { replace: true });
}

addEventListener("popstate", () => (place.value = read()));

// A click on a link to a page of the console doesn't load the page again.
addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.origin !== location.origin || link.target || link.hasAttribute("download") || !isPage(link.pathname)) return;
  event.preventDefault();
  go(link.pathname + link.search + link.hash);
});

/** @param {string} path */
const isPage = (path) => !/^\/(v1|docs|assets|openapi\.json|problems)(\/|$)/.test(path);
