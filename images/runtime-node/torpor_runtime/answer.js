/** Turns what a handler returned into an HTTP answer. */
'use strict';

const { STATUS_CODES } = require('node:http');

const TEXT = 'text/plain; charset=utf-8';
const BYTES = 'application/octet-stream';
const JSON_TYPE = 'application/json';

/** The code of each problem that the runtime tells, by its status. */
const CODES = {
  400: 'bad-request',
  413: 'body-too-large',
  431: 'headers-too-large',
  500: 'function-failed',
  501: 'not-implemented',
  503: 'unavailable',
  504: 'timeout',
};

// HAProxy takes 100 fields of an answer, 255 bytes of a name and 15 KiB together; aiohttp, which
// `torpor dev` is built on, 8,190 bytes of a value. What either would break off is refused here,
// where the reason can be logged; there is room for the fields that the runtime and gateways add.
const MAX_FIELDS = 64;
const MAX_NAME_BYTES = 128;
const MAX_FIELD_BYTES = 8000;
const MAX_FIELDS_BYTES = 12_000;
const FIELD_EXTRA_BYTES = 4; // the colon, the space and the end of the line
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const EXPLICIT = ['statusCode', 'headers', 'body'];

/** The handler returned something that is no answer. */
class BadReturn extends TypeError {
  name = 'BadReturn';
}

/** Status, header as pairs, and a body: a Buffer, or an iterator of parts. */
class Answer {
  constructor(status, headers, body) {
    this.status = status;
    this.headers = headers;
    this.body = body;
  }

  /** Whether the body comes in parts. */
  get isStream() {
    return !Buffer.isBuffer(this.body);
  }
}

/**
 * Return the answer for a body, a `Response`, or `{statusCode, headers, body}` with no other
 * member. BadReturn for what is none of these, and for a header that is too large.
 */
function answerOf(returned) {
  if (isResponse(returned)) return answerOfResponse(returned);
  if (!isExplicit(returned)) return built(returned == null ? 204 : 200, [], returned);
  return built(returned.statusCode, returned.headers, returned.body);
}

/** Return the answer of these three; BadReturn if they make none. */
function built(status, headers, body) {
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new BadReturn(`the status must be a number from 200 to 599, not ${String(status)}`);
  }
  const fields = fieldsOf(headers);
  const [content, kind] = contentOf(body);
  if (kind && !fields.some(([name]) => name.toLowerCase() === 'content-type')) {
    fields.push(['Content-Type', kind]);
  }
  return new Answer(status, fields, content);
}

/**
 * Return problem details (RFC 9457) as a gateway does, with these members besides.
 * A 503 says when to come again.
 */
function problem(status, detail, requestId, members = {}) {
  const title = status === 413 ? 'Content Too Large' : STATUS_CODES[status];
  const code = CODES[status];
  const body = { type: 'about:blank', title, status, detail, code, requestId, ...members };
  const headers = [['Content-Type', 'application/problem+json']];
  if (status === 503) headers.push(['Retry-After', '1']);
  return new Answer(status, headers, Buffer.from(JSON.stringify(body)));
}

/** Return the bytes of one part of a stream; BadReturn if it is neither text nor bytes. */
function partOf(item) {
  if (typeof item === 'string') return Buffer.from(item);
  if (isBytes(item)) return bytesOf(item);
  throw new BadReturn(`a stream must yield strings or bytes, not ${kindOf(item)}`);
}

function isResponse(value) {
  // By its name: to look at the global `Response` loads all of fetch.
  return value?.constructor?.name === 'Response' && typeof value.arrayBuffer === 'function';
}

function answerOfResponse(response) {
  const cookies = response.headers.getSetCookie?.() ?? [];
  const headers = [...response.headers].filter(([name]) => name !== 'set-cookie');
  headers.push(...cookies.map((cookie) => ['set-cookie', cookie]));
  const answer = built(response.status, headers, response.body);
  if (!response.headers.has('content-type')) {
    answer.headers = answer.headers.filter(([name]) => name !== 'Content-Type');
  }
  return answer;
}

function isExplicit(value) {
  if (typeof value !== 'object' || value === null || !Number.isInteger(value.statusCode)) {
    return false;
  }
  return Object.keys(value).every((name) => EXPLICIT.includes(name));
}

function fieldsOf(headers) {
  const fields = [...pairsOf(headers ?? [])];
  if (fields.length > MAX_FIELDS) {
    throw new BadReturn(`${fields.length} header fields: at most ${MAX_FIELDS} can be sent`);
  }
  const total = fields.reduce((sum, field) => sum + checkedBytes(...field), 0);
  if (total > MAX_FIELDS_BYTES) {
    throw new BadReturn(`the header has ${total} bytes: at most ${MAX_FIELDS_BYTES} can be sent`);
  }
  return fields;
}

function* pairsOf(headers) {
  if (typeof headers !== 'object') throw new BadReturn(`headers cannot be ${kindOf(headers)}`);
  for (const [name, value] of headers[Symbol.iterator] ? headers : Object.entries(headers)) {
    for (const one of Array.isArray(value) ? value : [value]) yield [String(name), String(one)];
  }
}

function checkedBytes(name, value) {
  const size = name.length + value.length + FIELD_EXTRA_BYTES;
  if (name.length > MAX_NAME_BYTES) {
    throw new BadReturn(`the field '${name.slice(0, 20)}'… has a name of ${name.length} bytes`);
  }
  if (size > MAX_FIELD_BYTES) {
    const most = `at most ${MAX_FIELD_BYTES} are sent`;
    throw new BadReturn(`the field '${name}' has ${size} bytes: ${most}`);
  }
  if (!TOKEN.test(name) || !VALUE.test(value)) {
    throw new BadReturn(`'${name}': '${value}' is not a header field`);
  }
  return size;
}

function contentOf(body) {
  if (body === undefined || body === null) return [Buffer.alloc(0), ''];
  if (typeof body === 'string') return [Buffer.from(body), TEXT];
  if (isBytes(body)) return [bytesOf(body), BYTES];
  if (Symbol.asyncIterator in Object(body)) return [body[Symbol.asyncIterator](), BYTES];
  if (typeof body.next === 'function') return [body, BYTES];
  const text = JSON.stringify(body);
  if (text === undefined) throw new BadReturn(`a handler cannot return ${kindOf(body)}`);
  return [Buffer.from(text), JSON_TYPE];
}

function isBytes(value) {
  return ArrayBuffer.isView(value) || value instanceof ArrayBuffer;
}

function bytesOf(value) {
  if (value instanceof ArrayBuffer) return Buffer.from(value);
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

function kindOf(value) {
  return value?.constructor?.name ?? typeof value;
}

module.exports = { Answer, BadReturn, answerOf, built, partOf, problem };
