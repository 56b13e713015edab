/**
 * `payload: lambda`: events, contexts and results as AWS Lambda has them.
 *
 * A caller that shows the function's token invokes it directly, as Lambda's own API does: the body
 * is the event and the result is the answer. Any other request is one of HTTP, as API Gateway and
 * function URLs pass it on (payload format 2.0).
 */
'use strict';

const { Answer, BadReturn } = require('./answer');
const { LambdaContext, clientContextOf } = require('./lambda_context');
const { setEnvironment } = require('./lambda_environment');
const { answerOfHttp, eventOf } = require('./lambda_http');
const { isStreamed, offerStreams, streamed, answerOfStream } = require('./lambda_stream');
const { Refusal } = require('./refusal');

/** Prepare what code for Lambda finds while it is loaded, and return the payload. */
function lambdaPayload(environment) {
  setEnvironment(environment);
  offerStreams();
  return { answerOf, call };
}

function call(handler, request) {
  const { event, isTrusted } = request;
  const client = isTrusted ? clientContextOf(event.headers['x-amz-client-context']) : undefined;
  const given = isTrusted ? valueOf(event.body) : eventOf(request);
  const context = new LambdaContext(request.context, client);
  return isStreamed(handler) ? streamed(handler, given, context) : invoked(handler, given, context);
}

async function answerOf(returned, { isTrusted }) {
  const stream = answerOfStream(returned);
  if (stream) return stream;
  if (!isTrusted) return answerOfHttp(returned, jsonOf);
  return new Answer(200, [['Content-Type', 'application/json']], jsonOf(returned));
}

/**
 * Return a promise of the result: what an async handler gives, or what is handed to the callback
 * or to `context`. What any other handler returns is its result, if it is data and the handler
 * takes no callback; one that takes neither callback nor context and returns nothing has null.
 */
function invoked(handler, event, context) {
  return new Promise((resolve, reject) => {
    const callback = (error, result) => {
      if (error === undefined || error === null) resolve(result);
      else reject(error);
    };
    context.settleBy(callback);
    const returned = handler(event, context, callback);
    if (typeof returned?.then === 'function' || handler.length < 2) resolve(returned);
    else if (handler.length === 2 && isData(returned)) resolve(returned);
  });
}

/** Return whether it is a value of JSON, and not what a call in the last line happens to return. */
function isData(value) {
  if (typeof value !== 'object') return value !== undefined && typeof value !== 'function';
  const kind = value === null ? null : Object.getPrototypeOf(value);
  return [null, Object.prototype, Array.prototype].includes(kind);
}

function valueOf(body) {
  if (!body.length) return {};
  try {
    return JSON.parse(body.toString());
  } catch (error) {
    const detail = `the payload of an invocation must be JSON: ${error.message}`;
    throw new Refusal(400, detail);
  }
}

function jsonOf(result) {
  try {
    return Buffer.from(JSON.stringify(result) ?? 'null');
  } catch (error) {
    const told = new BadReturn(`Unable to marshal response: ${error.message}`);
    told.name = 'Runtime.MarshalError'; // as Lambda names it
    throw told;
  }
}

module.exports = { lambdaPayload };
