// All shortcuts, in one table, which is also the help; and the actions of the view that
// is shown, which the palette lists too.
import { signal } from "@preact/signals";
import { useLayoutEffect } from "preact/hooks";
import { go } from "./router.js";
import { admin, staff, user } from "./session.js";

/**
 * @typedef {object} Action
 * @property {string} label
 * @property {string} [keys] for example "a", "g q" or "Shift+j"
 * @property {() => void} run
 * @property {boolean} [hidden] not in the palette
 * @property {boolean} [first] its keys mean this, whatever else they mean
 */

/** What is open over the page. */
export const overlay = signal(/** @type {"" | "help" | "palette"} */ (""));

/** @type {import("@preact/signals").Signal<Action[][]>} */
const layers = signal(/** @type {Action[][]} */ ([]));

/** @returns {Action[]} */
function places() {
  /** @type {[string, string, string, boolean][]} */
  const all = [
    ["g t", "My tickets", "/tickets", Boolean(user.value)],
    ["g n", "New ticket", "/new", Boolean(user.value)],
    ["g q", "Queue", "/queue", staff.value],
    ["g r", "Registrations", "/admin/registrations", admin.value],
    ["g u", "Users", "/admin/users", admin.value],
    ["g p", "Reports", "/admin/reports", admin.value],
    ["g a", "Audit", "/admin/audit", admin.value],
    ["g m", "Notifications", "/ops/notifications", admin.value],
    ["g o", "Outbox", "/ops/outbox", admin.value],
    ["g b", "Suppressions", "/ops/suppressions", admin.value],
    ["g i", "Mail in", "/ops/inbound", admin.value],
    ["g h", "Health", "/ops/health", admin.value],
    ["g s", "My profile", "/me", Boolean(user.value)],
  ];
  return all.filter(([, , , shown]) => shown).map(([keys, label, path]) => ({ keys, label: `Go to ${label}`, run: () => go(path) }));
}

/** @type {Action[]} */
const always = [
  { keys: "?", label: "Show the shortcuts", run: () => (overlay.value = "help") },
  { keys: "/", label: "Search", run: () => focusOn("[data-search]") },
];

/** Every action that is possible now. */
export const actions = () => [...layers.value.flat(), ...places(), ...always];

/** @param {string | Element} place an element or its selector */
export function focusOn(place) {
  const found = /** @type {HTMLElement | null} */ (typeof place === "string" ? document.querySelector(place) : place);
  found?.focus({ preventScroll: true });
  found?.scrollIntoView({ block: "nearest" });
}

/** Escape leaves a field, so that the shortcuts work again; what was typed stays. @param {HTMLElement} field */
function leave(field) {
  if (field.matches("select") || (field.matches("[type=search]") && /** @type {HTMLInputElement} */ (field).value)) return; // Escape has a use there
  focusOn(field.closest("article[tabindex]") ?? "main");
}

/**
 * Adds the actions of a view while it is shown.
 * @param {Action[]} list
 * @param {any[]} inputs as of useLayoutEffect
 */
export function useActions(list, inputs) {
  // With the view itself, so that the key of a button that is seen works.
  useLayoutEffect(() => {
    layers.value = [...layers.peek(), list];
    return () => void (layers.value = layers.peek().filter((l) => l !== list));
  }, inputs);
}

const typing = "input:not([type=checkbox], [type=radio], [type=button]), textarea, select, [contenteditable]";
let prefix = "";
/** @type {ReturnType<typeof setTimeout> | undefined} */
let forget;

/** A letter with or without Shift, whatever Caps Lock does; else what the key writes. @param {KeyboardEvent} event */
const nameOf = ({ key, shiftKey }) => (/^[a-z]$/i.test(key) ? (shiftKey ? "Shift+" : "") + key.toLowerCase() : key);

addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && user.value) {
    event.preventDefault();
    overlay.value = overlay.value === "palette" ? "" : "palette";
    return;
  }
  const field = /** @type {HTMLElement | null} */ (event.target instanceof Element ? event.target.closest(typing) : null);
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || document.querySelector("dialog[open]")) return;
  if (field) return void (event.key === "Escape" && leave(field));
  const keys = prefix ? `${prefix} ${nameOf(event)}` : nameOf(event);
  prefix = "";
  clearTimeout(forget);
  const possible = actions();
  const meant = possible.filter((a) => a.keys === keys);
  const action = meant.find((a) => a.first) ?? meant[0];
  if (action) {
    event.preventDefault();
    action.run();
  } else if (possible.some((a) => a.keys?.startsWith(keys + " "))) {
    prefix = keys;
    forget = setTimeout(() => (prefix = ""), 1500);
  }
});

/**
 * Sends a form by Ctrl+Enter from any of its fields.
 * @param {KeyboardEvent} event
 */
export function sendOnCtrlEnter(event) {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    /** @type {HTMLElement} */ (event.target).closest("form")?.requestSubmit();
  }
}
