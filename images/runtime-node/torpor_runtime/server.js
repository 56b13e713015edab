/** Serves one handler on $PORT, and comes to an orderly end on SIGTERM. */
'use strict';

const http = require('node:http');

const { problem } = require('./answer');
const { Executions } = require('./executions');
const { current, writeFailure, writeLine } = require('./logs');
const { MAX_HEAD_BYTES, answerMalformed } = require('./malformed');
const { Refusal } = require('./refusal');
const { Request } = require('./request');
const { send } = require('./sending');
const { Watchdog } = require('./watchdog');
const { checkLength, headersOf, readBody } = require('./wire');

const RECEIVE_MS = 60_000;
const IDLE_MS = 75_000; // longer than any gateway keeps an idle connection
const LINGER_MS = 2000;
const LAST_MS = 1000;
const BACKLOG = 1024;
const ENDPOINTS = ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'];
const CONTINUE = /^100-continue$/i;

class Server {
  isEnding = false;
  #status = 0;
  #open = new Set();
  #http;
  #exit;
  #token;
  #watchdog;

  constructor(handler, payload, limits, exit) {
    this.handler = handler;
    this.payload = payload;
    this.limits = limits;
    this.functionName = process.env.TORPOR_FUNCTION ?? '';
    this.spans = spansOf(process.env);
    this.executions = new Executions(limits, (reason) => this.giveUp(reason));
    this.#watchdog = new Watchdog(limits, (reason) => this.#endAtOnce(reason));
    this.#exit = exit;
    this.#token = process.env.TORPOR_DETAIL_TOKEN ?? '';
    delete process.env.TORPOR_DETAIL_TOKEN;
    this.#http = http.createServer({
      maxHeaderSize: MAX_HEAD_BYTES,
      headersTimeout: RECEIVE_MS,
      requestTimeout: RECEIVE_MS,
      keepAliveTimeout: IDLE_MS,
      requireHostHeader: false, // a duplicate is refused with the others in `wire`
    });
  }

  /** Listen on `host`, or on every address; return the port. Error if it is taken. */
  async listen(host, port) {
    this.#http.on('request', (...pair) => this.#serve(...pair));
    this.#http.on('checkContinue', (...pair) => this.#serve(...pair));
    this.#http.on('clientError', (error, socket) => {
      answerMalformed(error, socket, this.newId());
    });
    await new Promise((resolve, reject) => {
      this.#http.once('error', reject);
      this.#http.listen({ host: host || undefined, port, backlog: BACKLOG }, resolve);
    });
    process.on('uncaughtException', (error) => this.#escaped(error));
    process.on('unhandledRejection', (error) => this.#escaped(error));
    for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => this.end());
    return this.#http.address().port;
  }

  /** Return whether a caller showed the function's own token. */
  isTrusted(proof) {
    return proof !== undefined && require('./failure').proves(proof, this.#token);
  }

  /** Return the id that the request came with, or else a new one. */
  requestIdOf(headers) {
    return headers?.['x-request-id'] || this.newId();
  }

  /** Return a new id of 32 hexadecimal digits. */
  newId() {
    return require('node:crypto').randomBytes(16).toString('hex');
  }

  /** Accept nothing more, let the requests that run finish, and end the process. */
  end() {
    if (this.isEnding) return;
    this.isEnding = true;
    this.#http.close();
    this.#http.closeIdleConnections();
    if (this.#status) this.executions.refuseWaiting();
    setTimeout(() => this.#exit(this.#status), this.limits.timeoutMs + LAST_MS);
    this.#exitWhenIdle();
  }

  /** End with status 1 once what runs has ended: only another instance can go on. */
  giveUp(reason) {
    tellEnd(reason);
    this.#status = 1;
    this.end();
  }

  #endAtOnce(reason) {
    tellEnd(reason);
    this.#exit(1);
  }

  async #serve(incoming, response) {
    this.#open.add(response);
    response.on('close', () => {
      this.#open.delete(response);
      this.#exitWhenIdle();
    });
    let headers;
    try {
      headers = headersOf(incoming);
      checkLength(headers, this.limits.bodyBytes);
      if (CONTINUE.test(headers.expect ?? '')) response.writeContinue();
      const body = await readBody(incoming, this.limits.bodyBytes);
      const request = new Request(incoming, headers, response, this);
      await this.#watchdog.watched(() => request.answer(body));
    } catch (error) {
      if (error instanceof Refusal) this.#refuse(incoming, response, error, headers);
      else if (!incoming.complete) response.destroy(); // the client left in the middle of its body
      else writeFailure('a request failed', error);
    }
  }

  /** Answer, then drop what still comes: closing at once would reset the answer away. */
  #refuse(incoming, response, refusal, headers) {
    send(response, problem(refusal.status, refusal.message, this.requestIdOf(headers)), true);
    incoming.resume();
    setTimeout(() => incoming.destroy(), LINGER_MS).unref();
  }

  /** Take in an error that nobody caught: of a request it fails that, of none the instance. */
  #escaped(error) {
    const request = current.getStore();
    if (request) return request.fail(error);
    writeFailure('an error outside of every request', error);
    this.giveUp(require('./failure').reasonOf(error));
  }

  #exitWhenIdle() {
    if (this.isEnding && this.#open.size === 0) setImmediate(() => this.#leave());
  }

  async #leave() {
    await this.spans?.flush();
    this.#exit(this.#status);
  }
}

/** Return what takes spans; what that needs is loaded only where the environment asks for it. */
function spansOf(environment) {
  if (!ENDPOINTS.some((name) => environment[name])) return undefined;
  return require('./spans').spansOf(environment);
}

function tellEnd(reason) {
  const message = `${reason}: the instance is replaced`;
  writeLine('error', message);
  require('./failure').leaveReason(message);
}

module.exports = { Server };
