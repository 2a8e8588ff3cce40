// What takes longest when a page is opened begins before all modules have been fetched:
// the session, and then the list that the address means.
import { filtersOf, pageOf } from "./lists.js";
import { place } from "./router.js";
import { restore, staff, user } from "./session.js";
import { readAhead } from "./store.js";

/** Ends when it is known who is signed in. */
export const restored = restore().then(() => {
  const { path } = place.value;
  if (user.value && (path === "/tickets" || (path === "/queue" && staff.value))) readAhead(...pageOf(filtersOf(place.value)));
});
