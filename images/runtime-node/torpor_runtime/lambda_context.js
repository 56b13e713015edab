/** The context object of AWS Lambda's Node.js runtime, with what there is of it here. */
'use strict';

const { ACCOUNT } = require('./lambda_environment');
const { Refusal } = require('./refusal');

const MIB = 1024 * 1024;

/** Names are those that Lambda gives; the ARN has the Function as `namespace.name`. */
class LambdaContext {
  #context;
  #callback = () => {};

  /** Lambda would wait until nothing is left to do; the answer is sent at once in either case. */
  callbackWaitsForEmptyEventLoop = true;

  constructor(context, clientContext) {
    const [namespace, name = ''] = context.function.split('/');
    const { env } = process;
    this.#context = context;
    this.functionName = name;
    this.functionVersion = '$LATEST';
    const place = `${env.AWS_REGION}:${ACCOUNT}`;
    this.invokedFunctionArn = `arn:aws:lambda:${place}:function:${namespace}.${name}`;
    this.memoryLimitInMB = memoryOf(env);
    this.awsRequestId = context.requestId;
    this.logGroupName = env.AWS_LAMBDA_LOG_GROUP_NAME;
    this.logStreamName = env.AWS_LAMBDA_LOG_STREAM_NAME;
    this.identity = undefined;
    this.clientContext = clientContext;
    // As members of their own: code for Lambda takes them off the context and calls them alone.
    this.getRemainingTimeInMillis = () => this.#context.remainingMs();
    this.done = (error, result) => this.#callback(error, result);
    this.succeed = (result) => this.#callback(null, result);
    this.fail = (error) => this.#callback(error ?? new Error('handled'));
  }

  /** Say what `done`, `succeed` and `fail` call. */
  settleBy(callback) {
    this.#callback = callback;
  }
}

function memoryOf(environment) {
  const { AWS_LAMBDA_FUNCTION_MEMORY_SIZE: told } = environment;
  return told || String(Math.trunc(require('node:os').totalmem() / MIB));
}

/** Return what `X-Amz-Client-Context` holds: base64 of a JSON object. Refusal 400 if not. */
function clientContextOf(header) {
  if (!header) return undefined;
  let fields;
  try {
    fields = JSON.parse(Buffer.from(header, 'base64').toString());
  } catch {
    fields = null;
  }
  if (typeof fields === 'object' && fields !== null) return fields;
  throw new Refusal(400, 'the client context must be base64 of a JSON object');
}

module.exports = { LambdaContext, clientContextOf };
