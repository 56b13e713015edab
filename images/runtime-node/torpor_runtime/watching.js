/**
 * The thread that looks whether the event loop of the main thread beats. If not it has the main
 * thread exit by its inspector, which interrupts even an endless loop.
 */
'use strict';

const { workerData } = require('node:worker_threads');

const { leaveReason } = require('./failure');
const { writeLine } = require('./logs');

const AGAIN_MS = 1000;
const { beats, silenceMs, reason } = workerData;

function sleep(milliseconds) {
  Atomics.wait(beats, 1, 0, milliseconds); // nobody ever wakes it
}

/** Return whether the loop stands still; a process that was frozen gets time to beat again. */
function standsStill() {
  const before = Atomics.load(beats, 0);
  sleep(silenceMs);
  if (Atomics.load(beats, 0) !== before) return false;
  sleep(AGAIN_MS);
  return Atomics.load(beats, 0) === before;
}

function endMain() {
  const { Session } = require('node:inspector');
  const session = new Session();
  session.connectToMainThread();
  session.post('Runtime.evaluate', { expression: 'process.reallyExit(1)' });
  sleep(AGAIN_MS);
  process.kill(process.pid, 'SIGKILL'); // it is held in native code; no use as a container's first
}

while (!standsStill());
const message = `${reason}: the instance is replaced`;
writeLine('error', message);
leaveReason(message);
endMain();
