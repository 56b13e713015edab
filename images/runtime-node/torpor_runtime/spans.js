/**
 * The span of each request, told by OTLP as JSON, where the environment names an endpoint.
 *
 * A request only notes what there is to tell; a timer makes words of it and sends them, once a
 * second at most. What is too much, or not taken twice, is dropped: no request ever waits or fails.
 * Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp
 */
'use strict';

const { writeLine } = require('./logs');
const { now, placed } = require('./trace_context');

const MOST_SPANS = 2048; // that wait to be sent; more are dropped
const BATCH = 256; // making words of them holds the event loop up for about a millisecond
const SEND_MS = 5000;
const AGAIN_MS = 2000;
const LAST_MS = 2000;
const QUIET_MS = 60_000;
const DELAY_MS = 1000;
const SERVER_KIND = 2;
const FAILED = 2;
const MICROSECONDS_A_MS = 1000;
const PROTOCOLS = ['', 'http/json', 'http/protobuf'];

/** Return what takes spans, undefined where the environment does not ask for any. */
function spansOf(environment) {
  const said = (name) => (environment[name] ?? '').trim();
  const first = (name) => (
    said(`OTEL_EXPORTER_OTLP_TRACES_${name}`) || said(`OTEL_EXPORTER_OTLP_${name}`)
  );
  if (said('OTEL_SDK_DISABLED').toLowerCase() === 'true') return undefined;
  if (!['', 'otlp'].includes(said('OTEL_TRACES_EXPORTER').toLowerCase())) return undefined;
  // Else the endpoint speaks something that the user's own code may speak.
  if (!PROTOCOLS.includes(first('PROTOCOL'))) return undefined;
  const whole = said('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT');
  const base = said('OTEL_EXPORTER_OTLP_ENDPOINT');
  const url = whole || (base && `${base.replace(/\/+$/, '')}/v1/traces`);
  return url ? new Spans(url, first('HEADERS'), first('CERTIFICATE'), environment) : undefined;
}

/** Takes what requests have to tell, and sends it. */
class Spans {
  #url;
  #headers;
  #certificate;
  #function;
  #service;
  #delayMs;
  #waiting = [];
  #timer = null;
  #sending = null;
  #isEnding = false;
  #hurry = () => {};
  #isCold = true;
  #dropped = 0;
  #quietUntil = 0;

  constructor(url, headers, certificate, environment) {
    this.#url = url;
    this.#headers = headersOf(headers);
    this.#certificate = certificate;
    this.#function = environment.TORPOR_FUNCTION ?? '';
    this.#service = (environment.OTEL_SERVICE_NAME ?? '').trim() || this.#function;
    const delay = environment.OTEL_BSP_SCHEDULE_DELAY ?? '';
    this.#delayMs = /^\d+$/.test(delay) ? Number(delay) : DELAY_MS;
  }

  /** Return the place of a request, whose headers name it from now on. */
  begin(headers) {
    const place = placed(headers);
    place.isCold = this.#isCold;
    this.#isCold = false;
    return place;
  }

  /** Note that a request was answered, with `error` empty if nothing went wrong. */
  end(place, requestId, status, error) {
    if (!place.isSampled) return;
    if (this.#waiting.length >= MOST_SPANS) {
      this.#dropped += 1;
      return;
    }
    this.#waiting.push({ place, requestId, status, error, ended: now() });
    this.#timer ??= setTimeout(() => this.#send(), this.#delayMs).unref();
  }

  /** Send what waits, for at most two seconds: the process ends. */
  async flush() {
    this.#isEnding = true;
    this.#hurry();
    const late = new Promise((resolve) => setTimeout(resolve, LAST_MS));
    await Promise.race([this.#rest(), late]);
  }

  async #rest() {
    await this.#sending;
    while (this.#waiting.length) await this.#send();
  }

  #send() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const noted = this.#waiting.splice(0, BATCH);
    const spans = noted.map((each) => this.#told(each));
    this.#sending = this.#postedTwice(spans).then((problem) => {
      this.#settle(problem, noted.length);
      if (this.#waiting.length) this.#timer ??= setTimeout(() => this.#send(), 0).unref();
    });
    return this.#sending;
  }

  #settle(problem, count) {
    if (problem) this.#dropped += count;
    if (!this.#dropped || Date.now() < this.#quietUntil) return;
    this.#quietUntil = Date.now() + QUIET_MS;
    const why = problem || `more than ${MOST_SPANS} waited`;
    writeLine('warning', `${this.#dropped} spans were not taken: ${why}`, { logger: 'torpor' });
    this.#dropped = 0;
  }

  async #postedTwice(spans) {
    const { problem, mayPass } = await this.#posted(spans);
    if (!mayPass || this.#isEnding) return problem;
    await new Promise((resolve) => {
      this.#hurry = resolve;
      setTimeout(resolve, AGAIN_MS).unref();
    });
    return (await this.#posted(spans)).problem;
  }

  /** Post spans; return a promise of what `posted` says. */
  #posted(spans) {
    const resource = { attributes: [pair('service.name', this.#service)] };
    const scopeSpans = [{ scope: { name: 'torpor-runtime' }, spans }];
    const request = { resourceSpans: [{ resource, scopeSpans }] };
    return require('./spans_sending').posted(this.#url, JSON.stringify(request), {
      headers: { ...this.#headers, 'Content-Type': 'application/json' },
      certificate: this.#certificate,
      timeoutMs: SEND_MS,
    });
  }

  #told({ place, requestId, status, error, ended }) {
    return {
      traceId: place.traceId,
      spanId: place.spanId,
      parentSpanId: place.parentId,
      name: this.#function,
      kind: SERVER_KIND,
      startTimeUnixNano: nanoseconds(place.began),
      endTimeUnixNano: nanoseconds(Math.max(place.began, ended)),
      attributes: [
        pair('torpor.function', this.#function),
        pair('torpor.request_id', requestId),
        { key: 'http.response.status_code', value: { intValue: String(status) } },
        { key: 'faas.coldstart', value: { boolValue: place.isCold } },
        ...(error ? [pair('error.type', error)] : []),
      ],
      status: error ? { code: FAILED, message: error } : {},
    };
  }
}

function nanoseconds(milliseconds) {
  return `${Math.round(milliseconds * MICROSECONDS_A_MS)}000`;
}

function pair(key, text) {
  return { key, value: { stringValue: text } };
}

function headersOf(text) {
  const pairs = text.split(',').filter((each) => each.includes('=')).map((each) => {
    const at = each.indexOf('=');
    return [unquoted(each.slice(0, at).trim()), unquoted(each.slice(at + 1).trim())];
  });
  return Object.fromEntries(pairs);
}

function unquoted(text) {
  return require('node:querystring').unescape(text);
}

module.exports = { spansOf };
