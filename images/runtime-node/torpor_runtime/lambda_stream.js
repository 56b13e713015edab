/** Streamed answers as AWS Lambda's handlers write them: `awslambda.streamifyResponse`. */
'use strict';

const { built } = require('./answer');
const { fieldsOf } = require('./lambda_http');

const STREAMED = Symbol('streamed');
const META = Symbol('meta');
const BYTES = ['Content-Type', 'application/octet-stream'];

/** Make `awslambda` a global, as Lambda does. */
function offerStreams() {
  globalThis.awslambda = {
    streamifyResponse: (handler) => Object.assign(handler, { [STREAMED]: true }),
    HttpResponseStream: { from: (stream, meta) => Object.assign(stream, { [META]: meta }) },
  };
}

/** Return whether a handler writes its answer. */
function isStreamed(handler) {
  return handler[STREAMED] === true;
}

/**
 * Return a promise of the stream that the handler writes, once there is something in it or it has
 * ended; it is rejected when the handler fails before that.
 */
function streamed(handler, event, context) {
  const { PassThrough } = require('node:stream');
  const stream = new PassThrough();
  stream.setContentType = (kind) => {
    stream[META] = { ...stream[META], headers: { 'Content-Type': kind } };
  };
  return new Promise((resolve, reject) => {
    stream.once('readable', () => resolve(stream));
    stream.once('end', () => resolve(stream));
    stream.on('error', reject);
    Promise.resolve(handler(event, stream, context)).catch((error) => stream.destroy(error));
  });
}

/** Return the answer whose body `stream` is, null if it is no stream of `streamed`. */
function answerOfStream(stream) {
  if (typeof stream?.setContentType !== 'function') return null;
  const meta = stream[META] ?? {};
  return built(Number(meta.statusCode ?? 200), fieldsOf(meta, BYTES), stream);
}

module.exports = { answerOfStream, isStreamed, offerStreams, streamed };
