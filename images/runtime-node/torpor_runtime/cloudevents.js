/**
 * `payload: cloudevents`: the handler is given the event in a request, or the array of them.
 *
 * An event is an object with its attributes and `data`, which is parsed where it is JSON, a string
 * where it is text, else a Buffer. Binary, structured and batched mode of the HTTP protocol binding
 * 1.0.2, with JSON as event format.
 */
'use strict';

const { BadReturn, answerOf: rawAnswerOf, built } = require('./answer');
const { fromBase64 } = require('./base64');
const { Refusal } = require('./refusal');

const STRUCTURED = 'application/cloudevents+json';
const BATCH = 'application/cloudevents-batch+json';
const REQUIRED = ['id', 'source', 'type', 'specversion'];
const KEPT = /[^!#$&'()*+,/:;<=>?@[\\\]^`{|}\w.~-]+/gu; // section 3.1.3.2
const NO_EVENT = 'not a CloudEvent: send ce-id, ce-source, ce-type and ce-specversion as headers, '
  + `or the event as ${STRUCTURED}`;

/** Return what the handler gives for the event in the request; Refusal 400 if there is none. */
function call(handler, { event, context }) {
  return handler(eventsOf(event.headers, event.body), context);
}

/** Return the answer: an object with `specversion` in binary mode, anything else as raw. */
function answerOf(returned) {
  if (typeof returned !== 'object' || !returned?.specversion) return rawAnswerOf(returned);
  const { data, data_base64: packed, datacontenttype, ...attributes } = returned;
  const fields = Object.entries(attributes)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => [`ce-${name}`, encoded(value)]);
  const content = packed === undefined ? data : Buffer.from(packed, 'base64');
  if (content === undefined || content === null) return built(200, fields, null);
  const [kind, body] = written(content, datacontenttype);
  return built(200, [...fields, ['Content-Type', kind]], body);
}

function eventsOf(headers, body) {
  const kind = kindOf(headers['content-type']);
  if (kind === STRUCTURED) return formatted(parsed('a CloudEvent', body));
  if (kind === BATCH) {
    const events = parsed('a batch of CloudEvents', body);
    if (Array.isArray(events)) return events.map(formatted);
    throw new Refusal(400, 'a batch of CloudEvents must be a JSON array');
  }
  if (!('ce-specversion' in headers)) throw new Refusal(400, NO_EVENT);
  return binary(headers, kind, body);
}

function binary(headers, kind, body) {
  const event = {};
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith('ce-')) set(event, name.slice(3), decoded(value));
  }
  if (kind) event.datacontenttype = headers['content-type'];
  if (body.length) event.data = dataOf(kind, body);
  return checked(event);
}

function formatted(given) {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new Refusal(400, 'a CloudEvent in JSON must be an object');
  }
  const { data_base64: packed, ...event } = given;
  if (packed !== undefined && packed !== null) event.data = unpacked(packed);
  return checked(event);
}

function checked(event) {
  const lacking = REQUIRED.filter((name) => !event[name]);
  if (lacking.length) throw new Refusal(400, `not a CloudEvent: it has no ${lacking.join(', ')}`);
  if (event.specversion !== '1.0') {
    throw new Refusal(400, `specversion must be 1.0, is ${JSON.stringify(event.specversion)}`);
  }
  return event;
}

function dataOf(kind, body) {
  if (isJson(kind)) return parsed(`data of ${kind}`, body);
  return kind.startsWith('text/') ? body.toString() : body;
}

function unpacked(packed) {
  const data = typeof packed === 'string' ? fromBase64(packed) : null;
  if (data === null) throw new Refusal(400, 'data_base64 is no base64');
  return data;
}

function parsed(what, body) {
  try {
    return JSON.parse(body.toString());
  } catch (error) {
    throw new Refusal(400, `${what} must be JSON: ${error.message}`);
  }
}

function written(data, given) {
  if (ArrayBuffer.isView(data)) return [given ?? 'application/octet-stream', data];
  if (given === undefined || isJson(kindOf(given))) {
    return [given ?? 'application/json', JSON.stringify(data)];
  }
  if (typeof data === 'string') return [given, data];
  throw new BadReturn(`data of ${given} must be a string or bytes`);
}

function kindOf(contentType = '') {
  return contentType.split(';', 1)[0].trim().toLowerCase();
}

function isJson(kind) {
  return kind.endsWith('+json') || kind.endsWith('/json');
}

function decoded(value) {
  const quoted = /^"(.*)"$/.exec(value);
  const text = quoted ? quoted[1].replace(/\\(["\\])/g, '$1') : value;
  return text.includes('%') ? require('node:querystring').unescape(text) : text;
}

function encoded(value) {
  const text = value instanceof Date ? value.toISOString() : String(value);
  return text.replace(KEPT, (part) => encodeURIComponent(part.toWellFormed?.() ?? part));
}

/** Make a member of that name, which may be called as something that objects inherit. */
function set(event, name, value) {
  Object.defineProperty(event, name, {
    value, enumerable: true, writable: true, configurable: true,
  });
}

module.exports = { answerOf, call };
