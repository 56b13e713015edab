/** Answers what node:http cannot take for a request. */
'use strict';

const { STATUS_CODES } = require('node:http');

const { problem } = require('./answer');

const MAX_HEAD_BYTES = 64 * 1024;

/** Answer what is no HTTP, and close; in the middle of another answer only close. */
function answerMalformed(error, socket, requestId) {
  if (error.code === 'ECONNRESET' || !socket.writable || socket._httpMessage) {
    socket.destroy();
    return;
  }
  const [status, detail] = refusalOf(error);
  const answer = problem(status, detail, requestId);
  socket.end([
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${answer.body.length}`,
    'Connection: close',
    '',
    answer.body,
  ].join('\r\n'));
}

function refusalOf({ code, reason = '' }) {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return [431, `the header is larger than ${MAX_HEAD_BYTES} bytes`];
  }
  if (code === 'HPE_INVALID_TRANSFER_ENCODING' && !reason.includes('Content-Length')) {
    return [501, 'the transfer-encoding is not known'];
  }
  return [400, 'the request is malformed'];
}

module.exports = { MAX_HEAD_BYTES, answerMalformed };
