// The server's time, as its latest snapshot told it: a browser's own clock may be wrong by minutes.

let ahead = 0;

/** Take the time of a snapshot that came just now, in seconds since 1970. */
export function told(at) {
  ahead = at - Date.now() / 1000;
}

/** Seconds since 1970 on the server. */
export const now = () => Date.now() / 1000 + ahead;
