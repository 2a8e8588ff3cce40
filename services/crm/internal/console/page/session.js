// Who is signed in. The access token is in memory alone; the refresh token is in a
// cookie that no script reads.
import { computed, signal } from "@preact/signals";
import { call, Problem, setCredentials } from "./api.js";

/** @typedef {import("../types/api").User} User */

/** The signed-in user; null when nobody is, undefined until that is known. */
export const user = signal(/** @type {User | null | undefined} */ (undefined));

/** Whether the session ended without a sign-out, while a page was open. */
export const ended = signal(false);

export const staff = computed(() => user.value?.role === "engineer" || user.value?.role === "admin");
export const admin = computed(() => user.value?.role === "admin");

/** The position of the event stream when the user became known: what is read later is no older. */
export let beginning = "";

let token = "";
let renewAt = 0;
/** @type {Promise<string> | undefined} */
let renewing;

// Whether this browser has a session, so that a first visit asks for none.
const hint = "fixdesk signed in";

const channel = new BroadcastChannel("fixdesk-session");
channel.onmessage = ({ data }) => {
  if (data === "signed out") forget();
  if (data === "signed in" && !user.value) renew().catch(() => {});
};

setCredentials({ token: async () => (token && Date.now() < renewAt ? token : renew()), renew });

/** @param {{access_token: string, expires_in: number, user: User, last_event_id: string}} grant */
function accept(grant) {
  if (user.value && user.value.id !== grant.user.id) location.reload(); // another person's page
  localStorage.setItem(hint, "yes");
  token = grant.access_token;
  renewAt = Date.now() + grant.expires_in * 1000 - 60_000;
  beginning = grant.last_event_id;
  user.value = grant.user;
  ended.value = false;
  return token;
}

/** Leaves the session, as it is after a sign-out. */
export function forget() {
  localStorage.removeItem(hint);
  token = "";
  ended.value = false;
  user.value = null;
}

/** Reads who is signed in when the page is opened. */
export async function restore() {
  try {
    if (localStorage.getItem(hint)) await renew();
    else user.value = null;
  } catch {
    if (user.value === undefined) user.value = null;
  }
}

/**
 * Gets the next access token, one tab at a time, since each renewal spends the
 * refresh token of all tabs.
 */
export function renew() {
  renewing ??= navigator.locks
    .request("fixdesk-session", async () => accept((await call("PUT", "/session", { anonymous: true })).data))
    .catch((e) => {
      if (e instanceof Problem && e.status === 401) {
        token = "";
        if (user.value) ended.value = true; // the page stays until they sign in again
        else forget();
      }
      throw e;
    })
    .finally(() => (renewing = undefined));
  return renewing;
}

/** @param {string} email @param {string} password */
export async function signIn(email, password) {
  accept((await call("POST", "/session", { anonymous: true, body: { email, password } })).data);
  channel.postMessage("signed in");
}

export async function signOut() {
  await call("DELETE", "/session", { anonymous: true });
  forget();
  channel.postMessage("signed out");
}
