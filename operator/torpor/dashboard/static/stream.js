// Listens to the server's snapshots, comes back when the connection breaks, and says how it stands.
// A page that nobody looks at stops listening: the server has nothing to do for it then.

const RETRY_MILLISECONDS = 2000;
const SILENT_MILLISECONDS = 20_000;
const HIDDEN_MILLISECONDS = 60_000;

/**
 * Call `take(snapshot)` with each snapshot, and `stand(state)` as the connection changes: "live",
 * "stale", or "paused" while the page is hidden.
 */
export function listen(address, take, stand) {
  let [source, heard, hidden] = [null, 0, 0];

  function open() {
    close();
    source = new EventSource(address);
    source.addEventListener("open", alive);
    source.addEventListener("message", (event) => {
      alive();
      take(JSON.parse(event.data));
    });
    source.addEventListener("error", broken);
  }

  function close() {
    source?.close();
    source = null;
  }

  function alive() {
    heard = Date.now();
    stand("live");
  }

  function broken(event) {
    if (event.target !== source) return;
    stand("stale");
    if (source.readyState === EventSource.CLOSED) setTimeout(() => event.target === source && open(), RETRY_MILLISECONDS);
  }

  function pause() {
    close();
    stand("paused");
  }

  /** What is silent may have nothing to say, or be gone without a word. */
  async function check() {
    const asked = source;
    if (asked?.readyState !== EventSource.OPEN || Date.now() - heard < SILENT_MILLISECONDS) return;
    const answered = await fetch("static/icon.svg", { cache: "no-store" }).then((answer) => answer.ok, () => false);
    if (asked !== source) return;
    if (answered) alive();
    else stand("stale");
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(hidden);
    if (document.hidden) hidden = setTimeout(pause, HIDDEN_MILLISECONDS);
    else if (source === null) open();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  setInterval(check, SILENT_MILLISECONDS / 2);
  open();
}
