// What is known of the server's data. Views read it with useData; a change that the
// event stream reports makes what is on the page be read again.
import { signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { Problem } from "./api.js";

/**
 * @template T
 * @typedef {{value: T | undefined, etag: string, problem: Problem | undefined, loading: boolean}} State
 */

/**
 * One thing that was read: its state, how to read it, and how many views show it.
 */
class Entry {
  /** @param {() => Promise<{data: any, etag?: string}>} load */
  constructor(load) {
    this.load = load;
    this.state = signal(/** @type {State<any>} */ ({ value: undefined, etag: "", problem: undefined, loading: true }));
    this.users = 0;
    this.stale = true;
    this.run = 0;
  }

  /** Reads it again; of reads at the same time the last one counts. */
  async reload() {
    const run = ++this.run;
    this.stale = false;
    this.state.value = { ...this.state.value, loading: true };
    try {
      const { data, etag = "" } = await this.load();
      if (run === this.run) this.state.value = { value: data, etag, problem: undefined, loading: false };
    } catch (e) {
      if (run !== this.run) return;
      this.stale = true;
      this.state.value = { ...this.state.value, problem: e instanceof Problem ? e : new Problem(0, { detail: String(e) }), loading: false };
    }
  }
}

/** @type {Map<string, Entry>} */
const entries = new Map();
const maxEntries = 200;

/**
 * Reads data for as long as the calling component is shown. The key names it; the
 * same key means the same data.
 * @template T
 * @param {string} key
 * @param {() => Promise<{data: T, etag?: string}>} load
 * @returns {State<T> & {reload: () => Promise<void>}}
 */
export function useData(key, load) {
  const entry = useMemo(() => entryOf(key, load), [key]);
  useEffect(() => {
    entry.load = load;
    entry.users++;
    if (entry.stale) entry.reload();
    return () => void entry.users--;
  }, [entry]);
  return { ...entry.state.value, reload: () => entry.reload() };
}

/** @param {string} key @param {() => Promise<{data: any, etag?: string}>} load */
function entryOf(key, load) {
  let entry = entries.get(key);
  if (!entry) {
    entries.set(key, (entry = new Entry(load)));
    for (const [old, e] of entries) {
      if (entries.size <= maxEntries) break;
      if (e.users === 0 && e !== entry) entries.delete(old);
    }
  }
  return entry;
}

/**
 * Marks what has one of these keys, or begins with one that ends with "*", as out of
 * date. What is on the page is read again at once.
 * @param {...string} keys
 */
export function invalidate(...keys) {
  for (const [key, entry] of entries) {
    if (!keys.some((k) => (k.endsWith("*") ? key.startsWith(k.slice(0, -1)) : key === k))) continue;
    entry.stale = true;
    if (entry.users > 0) entry.reload();
  }
}

/**
 * Sets data that a call has answered, or that is expected of one.
 * @param {string} key
 * @param {any} value
 * @param {string} [etag]
 */
export function put(key, value, etag) {
  const entry = entries.get(key);
  if (!entry) return;
  entry.run++; // a read that is under way is older
  entry.state.value = { value, etag: etag ?? entry.state.value.etag, problem: undefined, loading: false };
}

/** The state of a key as it is now, outside of views. @param {string} key */
export const peek = (key) => entries.get(key)?.state.peek();

/** Forgets everything, when somebody signs out. */
export function clear() {
  entries.clear();
}
