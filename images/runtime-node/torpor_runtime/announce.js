/**
 * Tells every gateway that this pod listens, so that nobody waits for the kubelet to notice.
 *
 * The kubelet publishes a pod's address up to a second after the process listens. One small POST by
 * a plain socket: it never delays serving, and its failure does no harm.
 */
'use strict';

const net = require('node:net');

const { writeLine } = require('./logs');

const TIMEOUT_MS = 2000;
const DEFAULT_PORT = 80;

/** Announce `port` to all addresses of TORPOR_ANNOUNCE_URL; nothing if it is not set. */
function announce(environment, port) {
  const [, host, number, rest] = /^http:\/\/([^/:]+)(?::(\d+))?(\/.*)?$/.exec(
    environment.TORPOR_ANNOUNCE_URL ?? '',
  ) ?? [];
  if (!host) return;
  const body = JSON.stringify({ function: environment.TORPOR_FUNCTION ?? '', port });
  const message = [
    `POST ${rest ?? '/'} HTTP/1.1`,
    `Host: ${host}${number ? `:${number}` : ''}`,
    `Authorization: Bearer ${environment.TORPOR_ANNOUNCE_TOKEN ?? ''}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n');
  require('node:dns').lookup(host, { all: true }, (error, addresses) => {
    if (error) return warn(`cannot resolve ${host}: ${error.message}`);
    for (const { address } of addresses) post(address, Number(number ?? DEFAULT_PORT), message);
  });
}

function post(host, port, message) {
  let answer = '';
  const socket = net.connect({ host, port });
  socket.setEncoding('latin1');
  socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error('no answer in time')));
  socket.on('error', (error) => warn(`cannot announce to ${host}: ${error.message}`));
  socket.on('data', (text) => {
    answer += text.slice(0, 64);
    const [, status] = /^HTTP\/1\.1 (\d+)/.exec(answer) ?? [];
    if (!status) return;
    if (!status.startsWith('2')) warn(`announcement refused by ${host}: ${status}`);
    socket.destroy();
  });
  socket.end(message);
}

function warn(message) {
  writeLine('warning', message);
}

module.exports = { announce };
