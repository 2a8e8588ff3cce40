// Files that somebody attaches to what they write. They are uploaded at once and kept
// in the draft, so that sending only names them.
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { Problem, upload } from "./api.js";

/** @typedef {ReturnType<typeof import("./drafts.js").useDraft>} Draft */
/** @typedef {import("../types/api").Attachment} Attachment */
/** @typedef {{id: number, file: File, part: number, failed: string, stop: AbortController}} Upload */

/** What a text may have at most. */
const most = 10;

/** @type {WeakMap<Draft, import("@preact/signals").Signal<Upload[]>>} */
const uploads = new WeakMap();
let number = 0;

/** The uploads of a draft that run or failed. @param {Draft} draft */
function uploadsOf(draft) {
  let list = uploads.get(draft);
  if (!list) uploads.set(draft, (list = signal(/** @type {Upload[]} */ ([]))));
  return list;
}

/** @param {Draft} draft @param {Upload} one */
async function run(draft, one) {
  const list = uploadsOf(draft);
  const change = (/** @type {Partial<Upload>} */ now) => (list.value = list.value.map((u) => (u.id === one.id ? { ...u, ...now } : u)));
  change({ part: 0, failed: "" });
  try {
    const { id, filename, size, media_type, scan } = await upload(one.file, (part) => change({ part }), one.stop.signal);
    list.value = list.value.filter((u) => u.id !== one.id);
    draft.set({ files: [...draft.fields.files, { id, filename, size, media_type, scan }] });
  } catch (e) {
    if (!one.stop.signal.aborted) change({ failed: e instanceof Problem ? e.message : String(e) });
  }
}

/** @param {Draft} draft @param {Iterable<File>} files */
function attach(draft, files) {
  const list = uploadsOf(draft);
  for (const file of files) {
    const full = draft.fields.files.length + list.value.length >= most;
    const one = { id: ++number, file, part: 0, failed: full ? `There can be ${most} files. Remove one first.` : "", stop: new AbortController() };
    list.value = [...list.value, one];
    if (!full) run(draft, one);
  }
}

/** @param {DataTransfer | null} data */
const filesOf = (data) => [...(data?.files ?? [])];

/**
 * The files of a draft that has a field "files": those that are uploaded, those that
 * are on their way, and the handlers of the place into which files are dropped.
 * @param {Draft} draft
 */
export function useUploads(draft) {
  const [over, setOver] = useState(false);
  const list = uploadsOf(draft);
  return {
    over,
    files: /** @type {Attachment[]} */ (draft.fields.files),
    uploads: list.value,
    add: (/** @type {Iterable<File>} */ files) => attach(draft, files),
    again: (/** @type {Upload} */ one) => run(draft, one),
    cancel(/** @type {Upload} */ one) {
      one.stop.abort();
      list.value = list.value.filter((u) => u.id !== one.id);
    },
    remove: (/** @type {string} */ id) => draft.set({ files: draft.fields.files.filter((/** @type {Attachment} */ f) => f.id !== id) }),
    /** The ids to send; it refuses while a file is on its way. */
    ids() {
      if (list.value.length > 0) throw new Problem(0, { detail: "A file is not uploaded yet. Wait for it, or remove it." });
      return draft.fields.files.map((/** @type {Attachment} */ f) => f.id);
    },
    zone: {
      onDragOver: (/** @type {DragEvent} */ e) => e.dataTransfer?.types.includes("Files") && (e.preventDefault(), setOver(true)),
      onDragLeave: (/** @type {DragEvent} */ e) => !(/** @type {Element} */ (e.currentTarget).contains(/** @type {Node | null} */ (e.relatedTarget))) && setOver(false),
      onDrop(/** @type {DragEvent} */ e) {
        setOver(false);
        if (filesOf(e.dataTransfer).length > 0) e.preventDefault(), attach(draft, filesOf(e.dataTransfer));
      },
      onPaste(/** @type {ClipboardEvent} */ e) {
        if (filesOf(e.clipboardData).length > 0) e.preventDefault(), attach(draft, filesOf(e.clipboardData));
      },
    },
  };
}

// A file that misses the place doesn't take the place of the page.
for (const kind of ["dragover", "drop"]) addEventListener(kind, (e) => /** @type {DragEvent} */ (e).dataTransfer?.types.includes("Files") && e.preventDefault());
