// Finds in a snapshot what somebody should look at, and where; pure.

import { counted } from "./format.js";

const MOST = 6;
const RECENT_SECONDS = 3600;

/** What is wrong: `[{key, section, what, why, href}]`, the first of them the gravest. */
export function troubles(snapshot) {
  return [
    ...snapshot.functions.filter((each) => each.state === "failing").map(failing),
    ...snapshot.triggers.filter(fails).map(notReady),
    ...snapshot.triggers.filter((each) => each.deadLetters > 0).map(dead),
    ...snapshot.executions.filter((each) => failed(each, snapshot.at)).map(broken),
    ...snapshot.runs.filter((each) => each.state === "Failed").map(lost),
  ];
}

/** Whether a Trigger does not do what it should. */
export const fails = (trigger) => !["ready", "paused", "starting"].includes(trigger.state);

/** The first of them, and how many are left out. */
export function gravest(all) {
  return { shown: all.slice(0, MOST), more: Math.max(0, all.length - MOST) };
}

const failed = (execution, now) =>
  ["FAILED", "TIMED_OUT"].includes(execution.status) && now - execution.startedAt < RECENT_SECONDS;

const failing = (each) => ({
  key: `f ${each.namespace}/${each.name}`, section: "functions", href: "#functions",
  what: `Function ${each.name} fails`, why: each.reason,
});

const notReady = (each) => ({
  key: `t ${each.namespace}/${each.name}`, section: "triggers", href: "#triggers",
  what: `Trigger ${each.name} is ${each.state}`, why: each.message,
});

const dead = (each) => ({
  key: `d ${each.namespace}/${each.name}`, section: "triggers",
  href: `#triggers/${each.namespace}/${each.name}`,
  what: `Trigger ${each.name}: ${counted(each.deadLetters, "dead letter")}`, why: `for ${each.target}; redrive once it is mended`,
});

const broken = (each) => ({
  key: `e ${each.arn}`, section: "executions", href: `#executions/${encodeURIComponent(each.arn)}`,
  what: `Execution ${each.name} ${each.status === "FAILED" ? "failed" : "timed out"}`, why: each.error ?? "",
});

const lost = (each) => ({
  key: `r ${each.namespace}/${each.id}`, section: "runs", href: "#runs",
  what: `Run ${each.id} failed`, why: each.message || each.reason,
});
