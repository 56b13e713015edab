/** A request that is answered without the handler's doing. */
'use strict';

class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

module.exports = { Refusal };
