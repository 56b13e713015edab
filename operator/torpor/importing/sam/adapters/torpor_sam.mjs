/**
 * Gives a handler of AWS Lambda the events that its template asked for. Written by `torpor import`.
 *
 * It is beside your code, and _HANDLER names your own handler. SAM_ROUTES has the function's
 * routes: [method, path, payload format], as API Gateway matches them. What a queue sends comes in
 * batches and becomes an event with Records; all other events pass as they are.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import path from 'node:path';

const ROUTES = JSON.parse(process.env.SAM_ROUTES ?? '[]');
const PARAMETER = /\{([A-Za-z0-9_.:-]+)(\+?)\}/g;
const own = await ownHandler();

async function ownHandler() {
  const [, moduleName, member] = /^((?:.*\/)?[^./]+)\.(.+)$/.exec(process.env._HANDLER);
  const base = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), moduleName);
  const file = ['.js', '.mjs', '.cjs'].map((suffix) => base + suffix).find(existsSync);
  if (!file) throw new Error(`there is no ${moduleName}.js, .mjs or .cjs in the code`);
  const exported = await import(pathToFileURL(file));
  const found = exported[member] ?? exported.default?.[member];
  if (typeof found !== 'function') throw new Error(`${moduleName} exports no function ${member}`);
  return found;
}

/** Call the function's own handler with what Lambda would give it. */
export function handler(event, context, callback) {
  if (Array.isArray(event)) {
    return own({ Records: event.map(recordOf) }, context, callback);
  }
  if (!event?.requestContext?.http) return own(event, context, callback);
  const found = routeOf(event.requestContext.http.method, event.rawPath);
  if (!found) return Promise.resolve(notFound());
  const { method, template, form, parameters } = found;
  if (form === '1.0') {
    const told = (error, result) => callback(error, answerOf(result));
    const returned = own(firstFormat(event, template, parameters), context, told);
    return typeof returned?.then === 'function' ? returned.then(answerOf) : answerOf(returned);
  }
  const routeKey = template === '$default' ? template : `${method} ${template}`;
  const given = {
    ...event,
    routeKey,
    requestContext: { ...event.requestContext, routeKey },
    ...(Object.keys(parameters).length ? { pathParameters: parameters } : {}),
  };
  return own(given, context, callback);
}

// The runtime looks at how many parameters a handler takes to know when it has ended.
Object.defineProperty(handler, 'length', { value: own.length });

function notFound() {
  const headers = { 'content-type': 'application/json' };
  return { statusCode: 404, headers, body: '{"message":"Not Found"}' };
}

function routeOf(method, requested) {
  const wanted = requested.replace(/\/+$/, '') || '/';
  for (const [own, template, form] of [...ROUTES].sort(byRank)) {
    if (own !== 'ANY' && own !== method) continue;
    if (template === '$default') return { method: own, template, form, parameters: {} };
    const values = patternOf(template).exec(wanted);
    if (!values) continue;
    const names = [...template.matchAll(PARAMETER)].map((found) => found[1]);
    const pairs = names.map((name, number) => [name, decoded(values[number + 1])]);
    return { method: own, template, form, parameters: Object.fromEntries(pairs) };
  }
  return null;
}

/** Return the text that a part of a path stands for; one with a stray % stands for itself. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function byRank(one, other) {
  const [ranks, others] = [rankOf(one), rankOf(other)];
  const at = ranks.findIndex((rank, number) => rank !== others[number]);
  return at < 0 ? 0 : ranks[at] - others[at];
}

/** Exact routes are first, greedy ones last, those with more before their parameter earlier. */
function rankOf([method, template]) {
  const pieces = template.split('{');
  const flags = [template === '$default', template.includes('+}'), method === 'ANY'].map(Number);
  return [flags[0], flags[1], pieces.length, -pieces[0].length, flags[2]];
}

function patternOf(template) {
  const plain = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  let text = '';
  let at = 0;
  for (const found of template.matchAll(PARAMETER)) {
    text += plain(template.slice(at, found.index)) + (found[2] ? '(.+)' : '([^/]+)');
    at = found.index + found[0].length;
  }
  const rest = template.slice(at);
  return new RegExp(`^${text}${plain(at || rest !== '/' ? rest.replace(/\/$/, '') : rest)}$`);
}

function firstFormat(event, template, parameters) {
  const { http, ...context } = event.requestContext;
  const headers = { ...event.headers };
  if (event.cookies) headers.cookie = event.cookies.join('; ');
  const query = [...new URLSearchParams(event.rawQueryString)];
  const several = {};
  for (const [name, value] of query) (several[name] ??= []).push(value);
  return {
    version: '1.0',
    resource: template,
    path: event.rawPath,
    httpMethod: http.method,
    headers,
    multiValueHeaders: Object.fromEntries(Object.entries(headers).map(([k, v]) => [k, [v]])),
    queryStringParameters: query.length ? Object.fromEntries(query) : null,
    multiValueQueryStringParameters: query.length ? several : null,
    pathParameters: Object.keys(parameters).length ? parameters : null,
    stageVariables: null,
    requestContext: {
      accountId: context.accountId,
      apiId: context.apiId,
      domainName: context.domainName,
      domainPrefix: context.domainPrefix,
      httpMethod: http.method,
      identity: { sourceIp: http.sourceIp, userAgent: http.userAgent },
      path: event.rawPath,
      protocol: http.protocol,
      requestId: context.requestId,
      requestTime: context.time,
      requestTimeEpoch: context.timeEpoch,
      resourcePath: template,
      stage: 'Prod',
    },
    body: event.body ?? null,
    isBase64Encoded: event.isBase64Encoded,
  };
}

/** Return what a REST API makes of a result: its multiValueHeaders, and JSON as the usual type. */
function answerOf(result) {
  if (typeof result !== 'object' || result?.statusCode === undefined) return result;
  const headers = {};
  for (const [name, value] of Object.entries(result.headers ?? {})) {
    headers[name.toLowerCase()] = value;
  }
  let cookies = 'set-cookie' in headers ? [headers['set-cookie']] : [];
  delete headers['set-cookie'];
  for (const [name, values] of Object.entries(result.multiValueHeaders ?? {})) {
    if (name.toLowerCase() === 'set-cookie') cookies = values;
    else headers[name.toLowerCase()] = values.join(', ');
  }
  headers['content-type'] ??= 'application/json';
  return { ...result, headers, cookies };
}

function recordOf(event) {
  const data = 'data_base64' in event ? Buffer.from(event.data_base64, 'base64').toString() : event.data;
  const body = typeof data === 'string' ? data : JSON.stringify(data ?? null);
  const queue = String(event.source ?? '').split('/').pop();
  return {
    messageId: event.id,
    receiptHandle: event.id,
    body,
    attributes: {
      ApproximateReceiveCount: '1',
      ...('partitionkey' in event ? { MessageGroupId: event.partitionkey } : {}),
    },
    messageAttributes: attributesOf(event.sqsattributes),
    md5OfBody: createHash('md5').update(body).digest('hex'),
    eventSource: 'aws:sqs',
    eventSourceARN: `arn:aws:sqs:us-east-1:000000000000:${queue}`,
    awsRegion: 'us-east-1',
  };
}

function attributesOf(text) {
  const lower = (facts) =>
    Object.fromEntries(Object.entries(facts).map(([k, v]) => [k[0].toLowerCase() + k.slice(1), v]));
  const found = typeof text === 'string' && text ? JSON.parse(text) : {};
  return Object.fromEntries(Object.entries(found).map(([name, facts]) => [name, lower(facts)]));
}
