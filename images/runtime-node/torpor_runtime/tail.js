/**
 * The end of what one request writes, for a caller of the Lambda API who asks for it: the lines of
 * `console` and what goes through `process.stdout` and `process.stderr`, not what a program or a
 * worker that it starts writes.
 */
'use strict';

const { current } = require('./logs');

const MOST_BYTES = 4096;
const FIELDS_BYTES = 13_500; // what all fields of an answer may have together, see answer.js
const HEADER = 'X-Amz-Log-Result';
let isInstalled = false;

/** The last bytes that a request wrote. */
class Tail {
  #kept = Buffer.alloc(0);

  constructor() {
    install();
  }

  /** Take in what was written: text or bytes. */
  add(written) {
    const bytes = typeof written === 'string' ? Buffer.from(written) : written;
    this.#kept = Buffer.concat([this.#kept, bytes.subarray(-MOST_BYTES)]).subarray(-MOST_BYTES);
  }

  /** Return the header field beside the others, as long as there is room for it. */
  field(others) {
    const taken = others.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
    const room = Math.floor((Math.max(0, FIELDS_BYTES - taken) * 3) / 4);
    const kept = room ? this.#kept.subarray(-room) : Buffer.alloc(0);
    return [HEADER, kept.toString('base64')];
  }
}

function install() {
  if (isInstalled) return;
  isInstalled = true;
  for (const stream of [process.stdout, process.stderr]) {
    const write = stream.write;
    stream.write = (written, encoding, done) => {
      const text = typeof written === 'string' || ArrayBuffer.isView(written);
      if (text) current.getStore()?.tail?.add(written);
      return write.call(stream, written, encoding, done);
    };
  }
}

module.exports = { Tail };
