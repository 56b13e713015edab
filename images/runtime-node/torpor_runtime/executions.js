/**
 * Counts what runs: executions, not requests.
 *
 * A promise cannot be ended from outside. When the client leaves or the time is up, the handler
 * runs on, and the gateway, which counts requests, sends the next one. It waits here until a place
 * is really free, so that a limit of 1 means never two at once.
 */
'use strict';

const { writeLine } = require('./logs');

const LEAD_MS = 250;
const LEAD_SHARE = 0.1;

/** One request's turn: it waits for a place, runs, and may be overtaken by its time-out. */
class Turn {
  runs = false;
  isLate = false;
  isStuck = false;
  timer = undefined;

  /** `overtaken()` is called once when the time is up, instead of the handler's answer. */
  constructor(ids, overtaken) {
    this.ids = ids;
    this.overtaken = overtaken;
  }
}

/**
 * Gives turns their places, in the order of asking, and tells them when their time is up.
 *
 * A place whose execution goes on for the grace after its time-out counts as lost. When all are
 * lost nothing can run here any more: `giveUp(reason)` is called.
 */
class Executions {
  #limits;
  #giveUp;
  #running = 0;
  #lost = 0;
  #line = new Map();

  constructor(limits, giveUp) {
    this.#limits = limits;
    this.#giveUp = giveUp;
  }

  /**
   * Take a place; true, or a promise of whether one was had before the time was nearly up.
   *
   * The wait ends before the time does: a gateway's clock for the same time began earlier, and
   * would say that the function is slow, not that its places are taken.
   */
  enter(turn) {
    const { timeoutMs, concurrency } = this.#limits;
    turn.deadline = performance.now() + timeoutMs;
    if (!concurrency || this.#running < concurrency) {
      this.#begin(turn);
      return true;
    }
    const lead = Math.min(LEAD_MS, timeoutMs * LEAD_SHARE);
    return new Promise((resolve) => {
      turn.timer = setTimeout(() => this.#refuse(turn), timeoutMs - lead);
      this.#line.set(turn, resolve);
    });
  }

  /** Let a turn whose client has left wait no longer. */
  abandon(turn) {
    const resolve = this.#line.get(turn);
    if (!resolve) return;
    clearTimeout(turn.timer);
    this.#line.delete(turn);
    resolve(false);
  }

  /** Let no turn wait for a place any longer. */
  refuseWaiting() {
    for (const turn of [...this.#line.keys()]) this.#refuse(turn);
  }

  /** Stop the time of a turn that waits for its client; false if it was up. */
  pause(turn) {
    if (turn.isLate) return false;
    clearTimeout(turn.timer);
    if (performance.now() >= turn.deadline) this.#late(turn); // the event loop was held till now
    return !turn.isLate;
  }

  /** Give the turn its whole time again. */
  resume(turn) {
    turn.deadline = performance.now() + this.#limits.timeoutMs;
    turn.timer = setTimeout(() => this.#late(turn), this.#limits.timeoutMs);
  }

  /** Give the place back; return whether the time was not up. */
  leave(turn) {
    const wanted = this.pause(turn);
    clearTimeout(turn.timer); // the grace's, if the time was up
    this.#lost -= turn.isStuck ? 1 : 0;
    this.#running -= 1;
    const [next] = this.#line.keys();
    if (next) {
      const resolve = this.#line.get(next);
      this.#line.delete(next);
      clearTimeout(next.timer);
      this.#begin(next);
      resolve(true);
    }
    return wanted;
  }

  #begin(turn) {
    this.#running += 1;
    turn.runs = true;
    turn.timer = setTimeout(() => this.#late(turn), turn.deadline - performance.now());
  }

  #refuse(turn) {
    turn.overtaken();
    this.abandon(turn);
  }

  #late(turn) {
    turn.isLate = true;
    turn.timer = setTimeout(() => this.#stuck(turn), this.#limits.graceMs);
    turn.overtaken();
  }

  #stuck(turn) {
    turn.isStuck = true;
    this.#lost += 1;
    const { concurrency, graceMs } = this.#limits;
    const lost = `${this.#lost} of ${concurrency || 'any number of'} executions`;
    const reason = `${lost} go on ${graceMs / 1000} s after their time-out`;
    writeLine('warning', reason, turn.ids);
    if (this.#lost === concurrency) this.#giveUp(reason);
  }
}

module.exports = { Executions, Turn };
