/** Reads requests off node:http; what two parsers could read differently is refused. */
'use strict';

const { Refusal } = require('./refusal');

const ONCE = ['host', 'content-length', 'transfer-encoding'];

/**
 * Return the header fields by lower-case name, repeated ones joined. Refusal for a coding that is
 * not known, and for a field given twice that must not be.
 */
function headersOf(incoming) {
  const headers = Object.create(null);
  const raw = incoming.rawHeaders;
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index].toLowerCase();
    const value = raw[index + 1];
    if (!(name in headers)) headers[name] = value;
    else if (ONCE.includes(name)) throw new Refusal(400, `${name} is given twice`);
    else headers[name] += (name === 'cookie' ? '; ' : ', ') + value;
  }
  const coding = headers['transfer-encoding'];
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') {
    throw new Refusal(501, `transfer-encoding '${coding.slice(0, 20)}' is not known`);
  }
  return headers;
}

/** Refusal 413 if the body says that it is larger than `limit` bytes. */
function checkLength(headers, limit) {
  if (Number(headers['content-length'] ?? 0) > limit) throw tooLarge(limit);
}

/** Return a promise of the whole body; Refusal 413 if it is larger, Error if the client leaves. */
function readBody(incoming, limit) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    let size = 0;
    incoming.on('data', (chunk) => {
      size += chunk.length;
      if (size > limit) reject(tooLarge(limit));
      else chunks.push(chunk);
    });
    incoming.on('end', () => resolve(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
    incoming.on('error', reject);
    incoming.on('close', () => reject(new Error('the client left')));
  });
}

function tooLarge(limit) {
  return new Refusal(413, `the body is larger than ${limit} bytes`);
}

module.exports = { checkLength, headersOf, readBody };
