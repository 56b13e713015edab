// Says numbers, times and money as people read them; pure.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** A count: in full below 10,000, then as 12.3K. */
export function count(value) {
  if (value === null || value === undefined) return "–";
  return Math.abs(value) < 10_000 ? whole.format(value) : compact.format(value);
}

/** "1 event", "2 events". */
export function counted(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** A length of time in seconds, in at most two units. */
export function seconds(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value < 0.0005) return "0 ms";
  if (value < 0.9995) return `${value < 0.01 ? (value * 1000).toFixed(1) : Math.round(value * 1000)} ms`;
  if (value < 60) return `${value < 10 ? value.toFixed(1) : Math.round(value)} s`;
  const [large, small, big, little] = split(value);
  return small ? `${large} ${big} ${small} ${little}` : `${large} ${big}`;
}

function split(value) {
  const all = Math.round(value);
  if (all < 3600) return [Math.floor(all / 60), all % 60, "min", "s"];
  const minutes = Math.round(value / 60);
  if (minutes < 1440) return [Math.floor(minutes / 60), minutes % 60, "h", "min"];
  return [Math.floor(minutes / 1440), Math.floor((minutes % 1440) / 60), "d", "h"];
}

export const milliseconds = (value) => seconds(value / 1000);

/** How long before `now` something was, both in seconds since 1970. */
export function ago(then, now) {
  if (!then) return "–";
  const gone = Math.max(0, now - then);
  return gone < 1.5 ? "now" : `${seconds(gone < 60 ? Math.round(gone) : gone)} ago`.replace(".0 s", " s");
}

/** The time of day, with milliseconds. */
export function clock(then) {
  const date = new Date(then * 1000);
  return `${date.toLocaleTimeString("en-GB")}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** Seconds since 1970 of a number or of a time as RFC 3339 has it; null for neither. */
export function moment(value) {
  if (typeof value === "number") return value;
  const parsed = Date.parse(value ?? "");
  return Number.isNaN(parsed) ? null : parsed / 1000;
}

/** An amount of money: two digits after the point, or as many as a small one needs. */
export function money(amount, currency = "USD") {
  if (amount === null || amount === undefined) return "–";
  const value = Number(amount);
  const sign = currency === "USD" ? "$" : `${currency} `;
  if (value === 0) return `${sign}0`;
  if (Math.abs(value) >= 10_000) return `${sign}${compact.format(value)}`;
  if (Math.abs(value) >= 0.1) return `${sign}${value.toFixed(2)}`;
  const digits = Math.min(12, 1 - Math.floor(Math.log10(Math.abs(value))));
  return `${sign}${value.toFixed(digits)}`;
}

export const percent = (ratio) => `${(Math.min(1, Math.max(0, ratio)) * 100).toFixed(ratio < 0.995 ? 0 : 0)} %`;

/** A text cut in the middle, so that both ends can be told apart. */
export function shortened(value, most = 28) {
  const plain = String(value ?? "");
  if (plain.length <= most) return plain;
  const half = Math.floor((most - 1) / 2);
  return `${plain.slice(0, most - 1 - half)}…${plain.slice(-half)}`;
}
