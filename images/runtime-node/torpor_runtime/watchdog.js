/**
 * Ends an instance whose event loop is held by code that never returns: nothing else can.
 *
 * The loop beats, and a thread of its own looks whether it does. That thread takes longer to start
 * than a request to be answered, so it is started after the first one, which runs under the
 * time-out that `vm` has for scripts instead.
 */
'use strict';

const { Script } = require('node:vm');

const BEATS_A_SILENCE = 4;
const HELD = 'the event loop is held by code that does not return';
const CALL = Symbol.for('torpor.call');

class Watchdog {
  #silenceMs;
  #endAtOnce;
  #isUp = false;

  /** The loop may be held for the time-out and the grace of `limits`. */
  constructor({ timeoutMs, graceMs }, endAtOnce) {
    this.#silenceMs = timeoutMs + graceMs;
    this.#endAtOnce = endAtOnce;
  }

  /** Return a promise of what `work` gives, which it may never do. */
  watched(work) {
    if (this.#isUp) return work();
    // From the event loop, not from within a promise: else what the first step awaits is not run.
    return new Promise((resolve) => setImmediate(() => resolve(this.#first(work))));
  }

  #first(work) {
    if (this.#isUp) return work();
    this.#isUp = true;
    setImmediate(() => this.#start());
    let returned;
    globalThis[CALL] = () => {
      returned = work();
      process._tickCallback?.(); // runs what follows an `await` of something that is there already
    };
    try {
      new Script('globalThis[Symbol.for("torpor.call")]()')
        .runInThisContext({ timeout: this.#silenceMs });
    } catch (error) {
      if (error?.code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
      this.#endAtOnce(HELD); // what was torn out of the loop may have left it in any state
    } finally {
      delete globalThis[CALL];
    }
    return returned;
  }

  #start() {
    const { Worker, SHARE_ENV } = require('node:worker_threads');
    const beats = new Int32Array(new SharedArrayBuffer(8));
    const beatMs = this.#silenceMs / BEATS_A_SILENCE;
    setInterval(() => Atomics.add(beats, 0, 1), beatMs).unref();
    const worker = new Worker(require.resolve('./watching'), {
      env: SHARE_ENV,
      workerData: { beats, silenceMs: this.#silenceMs + beatMs, reason: HELD },
    });
    worker.unref();
    worker.on('error', (error) => require('./logs').writeFailure('the watchdog failed', error));
  }
}

module.exports = { Watchdog };
