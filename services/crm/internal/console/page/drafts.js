// Text that somebody is typing. It survives a reload, a killed tab and the end of a
// session, and is gone after it was sent.
import { signal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { newKey } from "./api.js";
import { user } from "./session.js";

/**
 * @typedef {object} Draft
 * @property {Record<string, any>} fields
 * @property {string} key the Idempotency-Key with which it is sent, the same for every attempt
 */

/** @type {Map<string, Drafted>} */
const drafts = new Map();

class Drafted {
  /** @param {string} name @param {Record<string, any>} empty */
  constructor(name, empty) {
    this.name = name;
    this.empty = empty;
    this.state = signal(this.read());
  }

  /** @returns {Draft} */
  read() {
    try {
      const stored = JSON.parse(localStorage.getItem(this.name) ?? "null");
      if (stored?.fields) return { fields: { ...this.empty, ...stored.fields }, key: stored.key };
    } catch {
      // A draft that can't be read is none.
    }
    return { fields: this.empty, key: newKey() };
  }

  /** The text and the choices of the draft. */
  get fields() {
    return this.state.value.fields;
  }

  get key() {
    return this.state.value.key;
  }

  /** Whether anything was typed. */
  get used() {
    return Object.keys(this.empty).some((f) => JSON.stringify(this.fields[f]) !== JSON.stringify(this.empty[f]));
  }

  /** @param {Record<string, any>} changes */
  set(changes) {
    this.state.value = { fields: { ...this.fields, ...changes }, key: this.key };
    try {
      localStorage.setItem(this.name, JSON.stringify(this.state.value));
    } catch {
      // A full storage loses no text that is on the page.
    }
  }

  /** Removes the draft, after it was sent or thrown away. */
  clear() {
    localStorage.removeItem(this.name);
    this.state.value = { fields: this.empty, key: newKey() };
  }
}

/**
 * The signed-in person's draft of that name.
 * @param {string} name for example "comment 42"
 * @param {Record<string, any>} empty its fields, before anything is typed
 */
export function useDraft(name, empty) {
  const owner = user.value?.id ?? "";
  return useMemo(() => {
    const full = `draft ${owner} ${name}`;
    let draft = drafts.get(full);
    if (!draft) drafts.set(full, (draft = new Drafted(full, empty)));
    return draft;
  }, [owner, name]);
}
