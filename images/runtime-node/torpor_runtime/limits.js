/** What one request, and one instance, may take. */
'use strict';

/**
 * Return the limits in the environment: TORPOR_TIMEOUT_SECONDS, _CONCURRENCY_LIMIT (0: none),
 * _GRACE_SECONDS (how long an execution may go on after its time-out until its place counts as
 * lost) and _MAX_BODY_BYTES.
 */
function limitsOf(environment) {
  const number = (name, usual) => Number(environment[name] ?? usual);
  return {
    timeoutMs: number('TORPOR_TIMEOUT_SECONDS', 30) * 1000,
    concurrency: number('TORPOR_CONCURRENCY_LIMIT', 0),
    graceMs: number('TORPOR_GRACE_SECONDS', 5) * 1000,
    bodyBytes: number('TORPOR_MAX_BODY_BYTES', 32 * 1024 * 1024),
  };
}

module.exports = { limitsOf };
