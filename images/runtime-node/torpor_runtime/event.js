/** What a handler is given: the request as `event`, its circumstances as `context`. */
'use strict';

const { logger } = require('./logs');

const log = logger('function');

/** One HTTP request. `target` is path and query as sent; `body` is the whole body, a Buffer. */
class Event {
  #target;
  #query;

  constructor(method, target, headers, body) {
    this.method = method;
    this.headers = headers;
    this.body = body;
    this.#target = target;
  }

  /** Path and query as they were sent. */
  get target() {
    return this.#target;
  }

  /** The path, percent-decoded. */
  get path() {
    const path = this.#target.split('?', 1)[0];
    return path.includes('%') ? require('node:querystring').unescape(path) : path;
  }

  /** The query's parameters; of a repeated one the last. */
  get query() {
    const start = this.#target.indexOf('?');
    const text = start < 0 ? '' : this.#target.slice(start + 1);
    this.#query ??= text ? Object.fromEntries(new URLSearchParams(text)) : {};
    return this.#query;
  }

  /** The body as UTF-8. */
  get text() {
    return this.body.toString();
  }

  /** Return the body as JSON; SyntaxError if it is not. */
  json() {
    return JSON.parse(this.text);
  }
}

/** Where and under which limits the handler runs. */
class Context {
  #deadline;
  #abort;

  /** `deadline` is on `performance.now()`; `abort` is the request's AbortController. */
  constructor({ functionName, requestId, traceId, deadline, abort }) {
    this.function = functionName;
    this.requestId = requestId;
    this.traceId = traceId;
    this.#deadline = deadline;
    this.#abort = abort;
  }

  /** Aborted when nobody waits for the answer any more: the time is up, or the client has left. */
  get signal() {
    return this.#abort.signal;
  }

  /** `debug`, `info`, `warn` and `error`: lines of JSON with the request's ids. */
  get log() {
    return log;
  }

  /** Return the milliseconds left until the request is answered with a time-out. */
  remainingMs() {
    return Math.max(0, Math.trunc(this.#deadline - performance.now()));
  }
}

module.exports = { Context, Event };
