/** Start: load the handler, listen, announce, serve. What is required is paid on every start. */
'use strict';

const { current, takeConsole } = require('./logs');

const exit = process.exit.bind(process);

/** `process.exit` in a request fails that request; other requests run in the same process. */
function boundExit(code = process.exitCode) {
  const request = current.getStore();
  if (!request) return exit(code);
  const error = new Error(`the handler called process.exit(${code ?? ''})`);
  error.name = 'ProcessExit';
  throw error;
}

async function start() {
  const environment = process.env;
  takeConsole();
  process.exit = boundExit;
  const payload = require('./payload').payloadOf(environment);
  const handler = await require('./load').loadHandler(environment);
  const { Server } = require('./server');
  const limits = require('./limits').limitsOf(environment);
  const server = new Server(handler, payload, limits, exit);
  const port = await server.listen(environment.TORPOR_BIND, Number(environment.PORT ?? 8080));
  require('./announce').announce(environment, port);
}

/** What is thrown while the code is loaded, even outside of every promise, ends the start. */
function refuseStart(error) {
  require('./failure').reportStartFailure(error);
  exit(1);
}

process.on('uncaughtException', refuseStart);
start().then(() => process.off('uncaughtException', refuseStart), refuseStart);
