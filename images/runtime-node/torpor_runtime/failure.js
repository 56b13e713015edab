/**
 * An error told to whom it concerns: its stack to the log, its last line to where Kubernetes looks
 * when an instance ends, and its message only to a caller who proves to be of the installation.
 */
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const { writeLine } = require('./logs');

const TOLD_CHARACTERS = 16_000; // with the stack it stays in the 32,768 characters of a Cause
const TOLD_FRAMES = 30;
const TOLD_FRAME_CHARACTERS = 500;
const LEFT_BYTES = 1024; // Kubernetes keeps 4,096 of all containers' messages together
const FRAME = /^\s+at /;

/** Tell why the function does not start. */
function reportStartFailure(error) {
  writeLine('error', 'the function cannot be loaded', { exception: tracebackOf(error) });
  leaveReason(reasonOf(error));
}

/** Return the error in one line, such as `Error: Cannot find module 'x'`. */
function reasonOf(error) {
  const message = textOf(error).split('\nRequire stack:')[0].replace(/\s+/g, ' ').trim();
  return message ? `${typeOf(error)}: ${message}` : typeOf(error);
}

/** Return the error's name as AWS Lambda tells it; of what is no Error the type of the value. */
function typeOf(error) {
  if (!(error instanceof Error) && typeof error?.stack !== 'string') return typeof error;
  const name = read(() => error.name);
  return typeof name === 'string' && name ? name : 'Error';
}

/** Return the stack without the runtime's own frames, and the stacks of its causes. */
function tracebackOf(error) {
  const told = [];
  for (let step = error; step !== undefined && told.length < 5; step = read(() => step.cause)) {
    told.push([...headOf(step), ...framesOf(step)].join('\n'));
  }
  return told.join('\ncaused by: ');
}

/** Return what Lambda tells of an error besides its type; long ones are cut. */
function detailsOf(error) {
  const frames = framesOf(error).slice(0, TOLD_FRAMES); // the innermost come first
  return {
    errorMessage: sendable(textOf(error).slice(0, TOLD_CHARACTERS)),
    stackTrace: frames.map((frame) => sendable(frame.trim().slice(0, TOLD_FRAME_CHARACTERS))),
  };
}

/** Return whether a caller showed the token, in time that says nothing of where it differs. */
function proves(given, token) {
  const [one, other] = [Buffer.from(given), Buffer.from(token)];
  if (!token || one.length !== other.length) return false;
  return require('node:crypto').timingSafeEqual(one, other);
}

/** Write the line that becomes the container's termination message. */
function leaveReason(reason) {
  const target = process.env.TORPOR_TERMINATION_LOG || '/dev/termination-log';
  try {
    const bytes = Buffer.from(reason).subarray(0, LEFT_BYTES);
    fs.writeFileSync(target, Buffer.concat([bytes, Buffer.from('\n')]));
  } catch (problem) { // outside a pod there is no such file
    writeLine('debug', `no termination message: ${problem.message}`);
  }
}

function textOf(error) {
  return read(() => (typeof error?.message === 'string' ? error.message : String(error)))
    ?? 'the error has no text: reading its message threw';
}

/** Return the lines before the frames: of a syntax error they begin with the place in the code. */
function headOf(error) {
  const stack = stackOf(error);
  const lines = stack.split('\n');
  const first = lines.findIndex((line) => FRAME.test(line));
  const head = first < 0 ? lines : lines.slice(0, first);
  return stack ? head : [`${typeOf(error)}: ${textOf(error)}`];
}

function framesOf(error) {
  return stackOf(error).split('\n').filter((line) => FRAME.test(line) && !isOurs(line));
}

function stackOf(error) {
  const stack = read(() => error?.stack);
  return typeof stack === 'string' ? stack : '';
}

function isOurs(frame) {
  return frame.includes(__dirname + path.sep) || frame.includes('node:internal/')
    || frame.includes('<anonymous>)') && frame.includes('new Promise');
}

/** Return what `get` returns; undefined if the user's own object throws when it is looked at. */
function read(get) {
  try {
    return get();
  } catch {
    return undefined;
  }
}

/** Return the text without lone surrogates, which readers of JSON refuse. */
function sendable(text) {
  return Buffer.from(text).toString();
}

module.exports = {
  detailsOf, leaveReason, proves, reasonOf, reportStartFailure, tracebackOf, typeOf,
};
