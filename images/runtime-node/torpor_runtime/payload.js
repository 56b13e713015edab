/**
 * What of a request a handler is called with, and how its answer is read: `spec.payload`.
 *
 * A payload has `call(handler, request)`, which returns what the handler gives, and
 * `answerOf(returned, request)`. A request is `{event, context, isTrusted}`.
 */
'use strict';

const { answerOf } = require('./answer');

const RAW = {
  call: (handler, { event, context }) => handler(event, context),
  answerOf: (returned) => answerOf(returned),
};

/** Return the payload that TORPOR_PAYLOAD names; Error if there is none of that name. */
function payloadOf(environment) {
  const name = environment.TORPOR_PAYLOAD || 'raw';
  if (name === 'raw') return RAW;
  if (name === 'cloudevents') return require('./cloudevents');
  if (name === 'lambda') return require('./lambda').lambdaPayload(environment);
  throw new Error(`TORPOR_PAYLOAD is '${name}'; it must be raw, cloudevents or lambda`);
}

module.exports = { payloadOf };
