// Asks the server for what the snapshots leave out, and has dead letters delivered again.

const DEADLINE_MILLISECONDS = 15_000;

/** The JSON of a path below api/; throws an Error whose message says what to do. */
export const get = (path) => call(path, {});

/** POST to a path below api/, with the header that only this page's own requests have. */
export function post(path, body) {
  const headers = { "Content-Type": "application/json", "X-Torpor-Dashboard": "1" };
  return call(path, { method: "POST", headers, body: JSON.stringify(body) });
}

/** A path of several parts, each as one segment. */
export const path = (...parts) => parts.map(encodeURIComponent).join("/");

async function call(at, options) {
  const signal = AbortSignal.timeout(DEADLINE_MILLISECONDS);
  const answer = await fetch(`api/${at}`, { ...options, signal, cache: "no-store" }).catch((error) => {
    throw new Error(`the dashboard's server does not answer (${error.name}): is torpor still running?`);
  });
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  throw new Error(told.detail ?? told.title ?? `the server answered ${answer.status}`);
}
