/** Posts spans to an OTLP endpoint; required once there are some. */
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');

const PASSING = [429, 502, 503, 504];

/**
 * Post `body`; return a promise of `problem`, why it was not taken, empty if it was, and of whether
 * it `mayPass` a little later (OTLP/HTTP, "Retryable Response Codes"). It never rejects.
 */
function posted(url, body, { headers, certificate, timeoutMs }) {
  return new Promise((resolve) => {
    const tell = (error, mayPass = true) => (
      resolve({ problem: `${url}: ${error.message || error.code}`, mayPass })
    );
    try {
      const isSecret = new URL(url).protocol === 'https:';
      const trust = isSecret && certificate ? { ca: fs.readFileSync(certificate) } : {};
      const fields = { ...headers, 'Content-Length': Buffer.byteLength(body) };
      const options = { method: 'POST', headers: fields, agent: false, ...trust };
      const request = (isSecret ? https : http).request(url, options, (answer) => {
        answer.on('error', (error) => tell(error)).resume();
        const status = answer.statusCode;
        const problem = status >= 200 && status < 300 ? '' : `${url}: ${status}`;
        resolve({ problem, mayPass: PASSING.includes(status) });
      });
      request.setTimeout(timeoutMs, () => request.destroy(new Error('no answer in time')));
      request.on('error', (error) => tell(error));
      request.end(body);
    } catch (error) {
      tell(error, false);
    }
  });
}

module.exports = { posted };
