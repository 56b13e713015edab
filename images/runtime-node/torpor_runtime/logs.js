/** JSON lines on standard error; inside a request each carries its id and its trace's id. */
'use strict';

const { AsyncLocalStorage } = require('node:async_hooks');
const fs = require('node:fs');
const { format } = require('node:util');

const LEVELS = { debug: 10, info: 20, warning: 30, error: 40 };
const CONSOLE = {
  debug: 'debug', log: 'info', info: 'info', warn: 'warning', error: 'error', trace: 'debug',
};
const STANDARD_ERROR = 2;
const PIPE_IS_FULL_MS = 2;
const MOST_RETRIES = 500;

/** The request that is served: `{ids, fail, tail}`; undefined outside of every request. */
const current = new AsyncLocalStorage();

/** Write one line at once; what is below TORPOR_LOG_LEVEL is left out by `logger`, not here. */
function writeLine(level, message, fields = {}) {
  const ids = current.getStore()?.ids;
  const line = {
    ts: new Date().toISOString().replace('Z', '+00:00'),
    level,
    msg: message,
    function: process.env.TORPOR_FUNCTION ?? '',
    ...ids,
    ...fields,
  };
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
  current.getStore()?.tail?.add(bytes);
  writeAll(bytes);
}

/** Write an error with its stack, which has the frames of the user's code alone. */
function writeFailure(message, error) {
  const { tracebackOf } = require('./failure');
  writeLine('error', message, { logger: 'torpor', exception: tracebackOf(error) });
}

/** Return `{debug, info, warn, error}`, each of which formats its arguments as console.log does. */
function logger(name) {
  const lowest = LEVELS[(process.env.TORPOR_LOG_LEVEL ?? 'info').toLowerCase()] ?? LEVELS.info;
  const method = (level) => (...values) => {
    if (LEVELS[level] >= lowest) writeLine(level, format(...values), { logger: name });
  };
  return {
    debug: method('debug'), info: method('info'), warn: method('warning'), error: method('error'),
  };
}

/** Have the lines of `console` be JSON with the ids of the request that wrote them. */
function takeConsole() {
  const log = logger('console');
  const methods = { debug: log.debug, info: log.info, warning: log.warn, error: log.error };
  for (const [name, level] of Object.entries(CONSOLE)) console[name] = methods[level];
}

/** A pipe whose reader is slow and that somebody made non-blocking is full for a moment. */
function writeAll(bytes) {
  let written = 0;
  for (let tries = 0; written < bytes.length && tries < MOST_RETRIES;) {
    try {
      written += fs.writeSync(STANDARD_ERROR, bytes, written);
    } catch (error) {
      if (error.code !== 'EAGAIN') return; // standard error is closed: nobody is to be told
      tries += 1;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PIPE_IS_FULL_MS);
    }
  }
}

module.exports = { current, logger, takeConsole, writeFailure, writeLine };
