/** One request: the handler runs in its turn, and is answered for when the time is up first. */
'use strict';

const { problem } = require('./answer');
const { Context, Event } = require('./event');
const { Turn } = require('./executions');
const { current, writeFailure, writeLine } = require('./logs');
const { Parts } = require('./parts');
const { Refusal } = require('./refusal');
const { cut, send, sendHead, sendParts, wantsBody } = require('./sending');

const FAILED = 'the function failed; its log has the reason under this request id';
const LATE = 'The function did not answer in time.'; // as a gateway says it

/** Answers one request on its response. */
class Request {
  #incoming;
  #response;
  #server;
  #turn;
  #abort = new AbortController();
  #context;
  #isTrusted;
  #headers;
  #parts = null;
  #begun = false;
  #reject = null;
  #tail = null;
  #place = null;
  #error = '';

  constructor(incoming, headers, response, server) {
    this.#incoming = incoming;
    this.#headers = headers;
    this.#response = response;
    this.#server = server;
    this.#isTrusted = server.isTrusted(headers['torpor-detail']);
    delete headers['torpor-detail']; // not for the handler to see
    this.#place = server.spans?.begin(headers);
    const trace = (headers.traceparent ?? '').split('-');
    const requestId = server.requestIdOf(headers);
    const traceId = trace.length === 4 ? trace[1] : server.newId();
    this.#turn = new Turn({ requestId, traceId }, () => this.#overtaken());
    this.#context = new Context({
      functionName: server.functionName,
      requestId,
      traceId,
      deadline: performance.now() + server.limits.timeoutMs,
      abort: this.#abort,
    });
  }

  /** Answer it; the promise ends with the execution, which may be after the answer. */
  answer(body) {
    const fail = (error) => this.#fail(error);
    if (this.#isTrusted && this.#headers['x-amz-log-type'] === 'Tail') {
      const { Tail } = require('./tail');
      this.#tail = new Tail();
    }
    return current.run({ ids: this.#turn.ids, fail, tail: this.#tail }, () => this.#answer(body));
  }

  async #answer(body) {
    const { executions } = this.#server;
    this.#response.on('close', () => {
      executions.abandon(this.#turn);
      if (!this.#response.writableFinished) this.#abort.abort();
    });
    const entered = executions.enter(this.#turn);
    if (entered !== true && !(await entered)) return;
    let answer;
    let wanted = false;
    try {
      answer = await this.#called(body);
      if (answer.isStream) await this.#sendStream(answer);
    } finally {
      wanted = executions.leave(this.#turn);
    }
    if (!wanted || answer.isStream) return;
    this.#send(answer, this.#server.isEnding);
    this.#tellSpan(answer.status);
  }

  async #called(body) {
    const { method, url } = this.#incoming;
    const { handler, payload } = this.#server;
    const event = new Event(method, url, this.#headers, body);
    const request = { event, context: this.#context, isTrusted: this.#isTrusted };
    try {
      const returned = await this.#guarded(async () => payload.call(handler, request));
      const answer = await payload.answerOf(returned, request);
      if (answer.isStream) await this.#begin(answer);
      return answer;
    } catch (error) {
      await this.#parts?.close();
      this.#parts = null;
      return this.#failure(error);
    }
  }

  /** Return what `work` gives; an error that escapes from a callback of the request fails it. */
  #guarded(work) {
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      work().then(resolve, reject);
    }).finally(() => {
      this.#reject = null;
    });
  }

  #fail(error) {
    if (this.#reject) this.#reject(error);
    else writeFailure('an error that no request waits for', error);
  }

  #failure(error) {
    const { requestId } = this.#context;
    if (error instanceof Refusal) return problem(error.status, error.message, requestId);
    this.#log('the handler failed', error);
    this.#error = require('./failure').typeOf(error);
    const { detailsOf, typeOf } = require('./failure');
    const details = this.#isTrusted ? detailsOf(error) : {};
    return problem(500, FAILED, requestId, { errorType: typeOf(error), ...details });
  }

  /** Fetch the stream's first part, so that what fails before it is no 200 that is cut off. */
  async #begin(answer) {
    const guarded = (work) => this.#guarded(work);
    this.#parts = new Parts(answer.body, guarded, (message, error) => {
      this.#error ||= 'stream';
      this.#log(message, error);
    });
    if (wantsBody(this.#incoming, answer)) await this.#parts.fetch();
  }

  async #sendStream(answer) {
    const { executions, isEnding } = this.#server;
    const turn = this.#turn;
    if (executions.pause(turn)) {
      this.#begun = true;
      sendHead(this.#response, answer, isEnding);
      if (!wantsBody(this.#incoming, answer)) this.#response.end();
      else await sendParts(this.#response, this.#parts, executions, turn);
    }
    this.#tellSpan(answer.status);
    if (!turn.isLate) executions.resume(turn); // to close has a time of its own
    await this.#parts.close();
  }

  /** Answer instead of the handler: the time is up. */
  #overtaken() {
    const { timeoutMs, concurrency } = this.#server.limits;
    const seconds = timeoutMs / 1000;
    const { requestId } = this.#context;
    let reason = `the function did not answer in ${seconds} s`;
    if (this.#begun) reason = `the stream was silent for ${seconds} s and is cut`;
    if (!this.#turn.runs) reason = `this instance's ${concurrency} executions are all taken`;
    writeLine('error', reason, this.#turn.ids);
    this.#error = this.#turn.runs ? 'timeout' : 'unavailable';
    this.#tellSpan(this.#begun ? this.#response.statusCode : this.#turn.runs ? 504 : 503);
    if (this.#begun) cut(this.#response);
    else if (this.#turn.runs) this.#send(problem(504, LATE, requestId), true);
    else this.#send(problem(503, reason, requestId), true);
    this.#abort.abort();
  }

  /** Tell of the request once: who overtook it has done so. */
  #tellSpan(status) {
    const place = this.#place;
    this.#place = null;
    if (place) this.#server.spans.end(place, this.#context.requestId, status, this.#error);
  }

  #send(answer, isLast) {
    if (this.#tail) answer.headers.push(this.#tail.field(answer.headers));
    send(this.#response, answer, isLast);
  }

  #log(message, error) {
    if (this.#abort.signal.aborted && error?.name === 'AbortError') return; // that was us
    writeFailure(message, error);
  }
}

module.exports = { Request };
