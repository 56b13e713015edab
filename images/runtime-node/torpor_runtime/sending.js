/** Puts answers on their way. */
'use strict';

const NO_BODY = [204, 304];
const OURS = ['connection', 'transfer-encoding', 'content-length', 'keep-alive'];

/** How long a client may take nothing: longer than any gateway keeps an idle connection. */
const SILENCE_MS = 75_000;

/** Return whether the answer's body is sent. */
function wantsBody(incoming, answer) {
  return !NO_BODY.includes(answer.status) && incoming.method !== 'HEAD';
}

/** Send an answer with a whole body. */
function send(response, answer, isLast) {
  if (response.headersSent || response.destroyed) return;
  const length = NO_BODY.includes(answer.status) ? [] : [['Content-Length', answer.body.length]];
  response.writeHead(answer.status, flat(answer.headers, isLast, length));
  response.setTimeout(SILENCE_MS, () => response.destroy());
  response.end(answer.body);
}

/** Send the head of a streamed answer, together with what follows in the same moment. */
function sendHead(response, answer, isLast) {
  response.writeHead(answer.status, flat(answer.headers, isLast, []));
}

/** Send the parts; the turn's time runs only while the next part is awaited. */
async function sendParts(response, parts, executions, turn) {
  response.flushHeaders();
  while (parts.next !== null) {
    if (response.destroyed) return;
    if (parts.next.length && !response.write(parts.next)) await drained(response);
    executions.resume(turn);
    if (!(await parts.couldFetch())) return cut(response);
    if (!executions.pause(turn)) return;
  }
  response.end();
}

/** End the connection so that the client notices that something is missing. */
function cut(response) {
  response.destroy();
}

function flat(headers, isLast, more) {
  const fields = headers.filter(([name]) => !OURS.includes(name.toLowerCase()));
  return [...fields, ...more, ...(isLast ? [['Connection', 'close']] : [])].flat();
}

function drained(response) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => response.destroy(), SILENCE_MS);
    const done = () => {
      clearTimeout(timer);
      response.off('drain', done).off('close', done);
      resolve();
    };
    response.on('drain', done).on('close', done);
  });
}

module.exports = { cut, send, sendHead, sendParts, wantsBody };
