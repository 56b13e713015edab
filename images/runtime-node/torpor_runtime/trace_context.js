/**
 * A request's place in its trace: what it came with, and what whoever it calls is given.
 *
 * Source: https://www.w3.org/TR/trace-context/
 */
'use strict';

/** In `tracestate`: a gateway began the trace, and its `traceparent` names the span told here. */
const BEGUN = 'torpor=begun';
const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const NO_TRACE = '0'.repeat(32);
const NO_SPAN = '0'.repeat(16);
const RANDOM_BYTES = 4096;
let random = Buffer.alloc(0);
let next = 0;

/** Return where a request is, and have its header say so to the handler and whom it calls. */
function placed(headers) {
  const found = parsed(headers.traceparent);
  if (!found) {
    delete headers.tracestate; // it belongs to a traceparent (W3C, 3.3.1.1)
    return named(headers, { traceId: newId(16), spanId: newId(8), parentId: '' });
  }
  const { traceId, given, isSampled } = found;
  if (!isSampled) return { traceId, spanId: given, parentId: '', isSampled, began: now() };
  if (wasBegun(headers)) return named(headers, { traceId, spanId: given, parentId: '' });
  return named(headers, { traceId, spanId: newId(8), parentId: given });
}

function named(headers, place) {
  headers.traceparent = `00-${place.traceId}-${place.spanId}-01`;
  return { ...place, isSampled: true, began: now() };
}

/** Return the header's ids (W3C Trace Context, 3.2.2), null if it is not to be gone on with. */
function parsed(header) {
  const [, version, traceId, given, flags, more] = FORM.exec(header ?? '') ?? [];
  if (!version || version === 'ff' || (version === '00' && more)) return null;
  if (traceId === NO_TRACE || given === NO_SPAN) return null;
  return { traceId, given, isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

/** Return whether a gateway began the trace, and take its word for it out of the header. */
function wasBegun(headers) {
  const state = headers.tracestate ?? '';
  if (!state.includes(BEGUN)) return false;
  const members = state.split(',').map((member) => member.trim());
  const others = members.filter((member) => member && member !== BEGUN);
  if (others.length) headers.tracestate = others.join(',');
  else delete headers.tracestate;
  return members.includes(BEGUN);
}

/** Return Unix time in milliseconds, with its fractions. */
function now() {
  return performance.timeOrigin + performance.now();
}

/** Return random digits, from bytes that are made for many ids at once: asking costs the most. */
function newId(bytes) {
  if (next + bytes > random.length) {
    random = require('node:crypto').randomBytes(RANDOM_BYTES);
    next = 0;
  }
  next += bytes;
  return random.toString('hex', next - bytes, next);
}

module.exports = { now, placed };
