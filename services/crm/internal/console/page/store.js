// What is known of the server's data. Views read it with useData; a change that the
// event stream reports makes what is on the page be read again.
import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo } from "preact/hooks";
import { Problem } from "./api.js";

/**
 * @template T
 * @typedef {{value: T | undefined, etag: string, problem: Problem | undefined, loading: boolean}} State
 */

// How long after a read that failed for a passing reason it is tried again.
const retryAfter = 5_000;

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
    this.run = 0; // counts reads and changes: a read counts if nothing came after it
    this.busy = false;
    this.reading = Promise.resolve();
    this.took = 0; // milliseconds of the last read
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.soon = undefined;
  }

  /**
   * Reads it again. When it is being read already, that answer may be older than what
   * made this necessary: then it is read once more afterwards, however often it was
   * asked for.
   */
  reload() {
    this.stale = true;
    if (!this.busy) this.reading = this.readUntilCurrent();
    return this.reading;
  }

  async readUntilCurrent() {
    this.busy = true;
    for (let failed = false; this.stale && !failed; ) {
      this.stale = false;
      const run = ++this.run;
      const began = performance.now();
      this.state.value = { ...this.state.value, loading: true };
      try {
        const { data, etag = "" } = await this.load();
        if (run === this.run) this.state.value = { value: data, etag, problem: undefined, loading: false };
      } catch (e) {
        failed = this.stale = true;
        this.fail(e);
      }
      this.took = performance.now() - began;
    }
    this.busy = false;
  }

  /** Reads it again twice a second at most, and less often if that takes long. */
  reloadSoon() {
    this.soon ??= setTimeout(() => {
      this.soon = undefined;
      if (this.users > 0) this.reload();
      else this.stale = true;
    }, Math.max(500, 20 * this.took));
  }

  /** @param {unknown} e */
  fail(e) {
    const problem = e instanceof Problem ? e : new Problem(0, { detail: String(e) });
    this.state.value = { ...this.state.value, problem, loading: false };
    if (problem.status === 0 || problem.status === 503) setTimeout(() => this.stale && this.users > 0 && this.reload(), retryAfter);
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
 * @param {boolean} [afterPaint] whether to read when the component was painted, since it has something to show without the data
 * @returns {State<T> & {reload: () => Promise<void>}}
 */
export function useData(key, load, afterPaint = false) {
  const entry = useMemo(() => entryOf(key, load), [key]);
  useLayoutEffect(() => {
    entry.load = load;
    entry.users++;
    return () => void entry.users--;
  }, [entry]);
  useRead(() => entry.stale && entry.reload(), [entry], afterPaint);
  return { ...entry.state.value, reload: () => entry.reload() };
}

/**
 * Begins to read before the page is painted, so that the answer comes a frame earlier; or
 * after that, when the page has something to show already and is to show it at once.
 * @param {() => void} read
 * @param {any[]} inputs as of useEffect
 * @param {boolean} afterPaint
 */
export function useRead(read, inputs, afterPaint) {
  useLayoutEffect(() => {
    if (!afterPaint) read();
  }, inputs);
  useEffect(() => {
    if (afterPaint) read();
  }, inputs);
}

/**
 * Begins to read what a view will show as soon as it knows more.
 * @param {string} key
 * @param {() => Promise<{data: any, etag?: string}>} load
 */
export function readAhead(key, load) {
  const entry = entryOf(key, load);
  if (entry.stale && !entry.busy) entry.reload();
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
  for (const entry of named(keys)) {
    entry.stale = true;
    if (entry.users > 0) entry.reload();
  }
}

/**
 * The same, for what changes so often that each change can't be read by itself.
 * @param {...string} keys
 */
export function invalidateSoon(...keys) {
  for (const entry of named(keys)) entry.reloadSoon();
}

/** @param {string[]} keys */
function* named(keys) {
  for (const [key, entry] of entries) {
    if (keys.some((k) => (k.endsWith("*") ? key.startsWith(k.slice(0, -1)) : key === k))) yield entry;
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

/**
 * What the lists that were read have of one thing, the newest version of it.
 * @param {string} prefix of the lists' keys
 * @param {(item: any) => boolean} is
 */
export function inLists(prefix, is) {
  let found;
  for (const [key, entry] of entries) {
    const item = key.startsWith(prefix) && entry.state.peek().value?.items?.find(is);
    if (item && !(item.version <= found?.version)) found = item;
  }
  return found;
}

/** The state of a key as it is now, outside of views. @param {string} key */
export const peek = (key) => entries.get(key)?.state.peek();

/** Forgets everything, when somebody signs out. */
export function clear() {
  entries.clear();
}
