/** HTTP as AWS Lambda's handlers see it: payload format 2.0 of API Gateway and function URLs. */
'use strict';

const { BadReturn, built } = require('./answer');
const { fromBase64 } = require('./base64');

const STAGE = '$default';
const TEXTS = ['application/json', 'application/javascript', 'application/xml'];
const JSON_TYPE = ['Content-Type', 'application/json'];
const TEXT_TYPE = ['Content-Type', 'text/plain; charset=utf-8'];
const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

/** Return the request as an event. */
function eventOf({ event, context }) {
  const [path] = event.target.split('?', 1);
  const query = event.target.slice(path.length + 1);
  const { cookie = '', ...headers } = event.headers;
  const cookies = cookie.split(';').map((part) => part.trim()).filter(Boolean);
  return {
    version: '2.0',
    routeKey: STAGE,
    rawPath: path,
    rawQueryString: query,
    ...(cookies.length ? { cookies } : {}),
    headers,
    ...(query ? { queryStringParameters: parametersOf(query) } : {}),
    requestContext: requestContextOf(event, context, path),
    isBase64Encoded: false,
    ...(event.body.length ? bodyOf(event) : {}),
  };
}

/**
 * Return the answer that a result stands for; BadReturn if it cannot be sent.
 *
 * An object with `statusCode` says all of it. Anything else is the body of a 200: a string as it
 * is, the rest as JSON.
 */
function answerOfHttp(result, jsonOf) {
  if (typeof result === 'object' && result?.statusCode !== undefined) {
    return built(statusOf(result.statusCode), fieldsOf(result, TEXT_TYPE), contentOf(result));
  }
  return built(200, [JSON_TYPE], typeof result === 'string' ? Buffer.from(result) : jsonOf(result));
}

/** Return the header that a result says as pairs, with `usual` unless it has a Content-Type. */
function fieldsOf({ headers, cookies }, usual) {
  if (!Array.isArray(cookies ?? [])) throw new BadReturn('cookies must be an array of strings');
  const fields = Object.entries(headers ?? {});
  const isTold = fields.some(([name]) => name.toLowerCase() === 'content-type');
  return [
    ...fields,
    ...(isTold ? [] : [usual]),
    ...(cookies ?? []).map((cookie) => ['Set-Cookie', cookie]),
  ];
}

function requestContextOf(event, context, path) {
  const { headers } = event;
  const now = new Date();
  const domain = headers['x-forwarded-host'] || headers.host || '';
  return {
    accountId: 'anonymous',
    apiId: context.function.split('/')[1] ?? '',
    domainName: domain,
    domainPrefix: domain.split('.', 1)[0],
    http: {
      method: event.method,
      path,
      protocol: 'HTTP/1.1',
      sourceIp: (headers['x-forwarded-for'] ?? '').split(',').pop().trim(),
      userAgent: headers['user-agent'] ?? '',
    },
    requestId: context.requestId,
    routeKey: STAGE,
    stage: STAGE,
    time: timeOf(now),
    timeEpoch: now.getTime(),
  };
}

function timeOf(moment) {
  const [date, time] = moment.toISOString().slice(0, 19).split('T');
  const [year, month, day] = date.split('-');
  return `${day}/${MONTHS[Number(month) - 1]}/${year}:${time} +0000`;
}

function parametersOf(query) {
  const found = new Map();
  for (const [name, value] of new URLSearchParams(query)) {
    found.set(name, found.has(name) ? `${found.get(name)},${value}` : value);
  }
  return Object.fromEntries(found);
}

/** Return the body, in base64 unless it is known to be text and is. */
function bodyOf({ headers, body }) {
  const kind = (headers['content-type'] ?? '').split(';', 1)[0].trim().toLowerCase();
  const text = isText(kind) ? body.toString() : '';
  if (text && Buffer.from(text).equals(body)) return { isBase64Encoded: false, body: text };
  return { isBase64Encoded: true, body: body.toString('base64') };
}

function isText(kind) {
  return !kind || kind.startsWith('text/') || TEXTS.includes(kind) || /\+(json|xml)$/.test(kind);
}

function statusOf(given) {
  const status = Number(given);
  if (Number.isInteger(status)) return status;
  throw new BadReturn(`statusCode must be a number from 200 to 599, not ${JSON.stringify(given)}`);
}

function contentOf({ body, isBase64Encoded }) {
  if (body === undefined || body === null) return null;
  if (typeof body !== 'string') {
    throw new BadReturn(`body must be a string, not ${typeof body}: use JSON.stringify`);
  }
  if (!isBase64Encoded) return Buffer.from(body);
  const bytes = fromBase64(body);
  if (bytes === null) throw new BadReturn('isBase64Encoded is true and the body is no base64');
  return bytes;
}

module.exports = { answerOfHttp, eventOf, fieldsOf };
