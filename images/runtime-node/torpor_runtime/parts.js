/** The parts of a streamed answer, of which the first is fetched before the head is sent. */
'use strict';

const { partOf } = require('./answer');

class Parts {
  #iterator;
  #guarded;
  #log;
  #isDone = false;

  /** The part that is to be sent next, a Buffer; null when there is none any more. */
  next = null;

  constructor(iterator, guarded, log) {
    this.#iterator = iterator;
    this.#guarded = guarded;
    this.#log = log;
  }

  /** Make the following part the next one; throws what the handler throws. */
  async fetch() {
    const { done, value } = await this.#guarded(async () => this.#iterator.next());
    this.#isDone = Boolean(done);
    this.next = done ? null : partOf(value);
  }

  /** As `fetch`; false if the stream fails, which is logged. */
  async couldFetch() {
    try {
      await this.fetch();
      return true;
    } catch (error) {
      this.#log('the stream failed; the connection is cut so that the client notices', error);
      return false;
    }
  }

  /** Close the stream, read or not. */
  async close() {
    if (this.#isDone) return;
    try {
      await this.#iterator.return?.();
    } catch (error) {
      this.#log('the stream cannot be closed', error);
    }
  }
}

module.exports = { Parts };
