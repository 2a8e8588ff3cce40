// Pages about what the event stream doesn't report, for example mails: they are read
// again and again while they are seen.
import { useEffect } from "preact/hooks";
import { invalidate } from "./store.js";

const every = 5_000;

/**
 * Reads what the calling component shows again every five seconds, unless the page is
 * hidden; then as soon as it is seen.
 * @param {...string} keys as of invalidate
 */
export function usePolling(...keys) {
  useEffect(() => {
    const read = () => document.hidden || invalidate(...keys);
    const timer = setInterval(read, every);
    document.addEventListener("visibilitychange", read);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", read);
    };
  }, [keys.join()]);
}
