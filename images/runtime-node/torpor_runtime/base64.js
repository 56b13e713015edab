/** Base64 that is read strictly: Node.js itself leaves out whatever it does not know. */
'use strict';

const WHOLE = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Return the bytes, null if the text is no base64 (RFC 4648, with padding; line ends are fine). */
function fromBase64(text) {
  const packed = text.replace(/[\r\n]/g, '');
  return WHOLE.test(packed) ? Buffer.from(packed, 'base64') : null;
}

module.exports = { fromBase64 };
