/** Finds the user's handler: inline source or a folder, and `module.function` in it. */
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const Module = require('node:module');

const CODE_DIRECTORY = '/var/torpor/code';
const FILE_PREFIX = 'TORPOR_FILE_'; // behind it a file's name; the variable is what is in it
const SUFFIXES = ['.js', '.mjs', '.cjs'];
const NAME = /^((?:.*\/)?[^./]+)\.(.+)$/;
const EXPORTS = /^\s*export\b/m;
const NEEDS_IMPORT = ['ERR_REQUIRE_ESM', 'ERR_REQUIRE_ASYNC_MODULE'];

class BadHandler extends Error {
  name = 'BadHandler';
}

/**
 * Return the handler that TORPOR_HANDLER names: `main.handler` is the export `handler` of main.js,
 * main.mjs or main.cjs, `src/items.api.get` the member `get` of the export `api` of src/items.js.
 * BadHandler if there is none; whatever the user's module throws while it is loaded.
 */
async function loadHandler(environment) {
  const name = environment.TORPOR_HANDLER ?? '';
  const [, moduleName, memberName] = NAME.exec(name) ?? [];
  if (!moduleName) {
    throw new BadHandler(`TORPOR_HANDLER is '${name}'; it must read module.function`);
  }
  const folder = environment.TORPOR_CODE_DIR || CODE_DIRECTORY;
  writeFiles(environment, folder);
  const source = environment.TORPOR_CODE;
  const exported = source
    ? await inline(path.resolve(folder, `${moduleName}.js`), source)
    : await loaded(fileOf(folder, moduleName));
  const handler = member(exported, memberName) ?? member(exported?.default, memberName);
  if (typeof handler !== 'function') {
    throw new BadHandler(`module '${moduleName}' exports no function '${memberName}'`);
  }
  return handler;
}

/** Make files of the variables that are the code, each under its name, and forget them. */
function writeFiles(environment, folder) {
  for (const name of Object.keys(environment).filter((each) => each.startsWith(FILE_PREFIX))) {
    fs.writeFileSync(path.join(folder, name.slice(FILE_PREFIX.length)), environment[name]);
    delete environment[name];
  }
}

function member(exported, name) {
  return name.split('.').reduce((found, part) => found?.[part], exported);
}

function fileOf(folder, moduleName) {
  const base = path.resolve(folder, moduleName);
  const file = SUFFIXES.map((suffix) => base + suffix).find((name) => fs.existsSync(name));
  if (file) return file;
  const names = SUFFIXES.map((suffix) => moduleName + suffix).join(', ');
  throw new BadHandler(`there is no ${names} in the code`);
}

/** Return what a file exports: required, which is faster, unless only `import` can load it. */
async function loaded(file) {
  if (!file.endsWith('.mjs')) {
    try {
      return Module.createRequire(file)(file);
    } catch (error) {
      if (!NEEDS_IMPORT.includes(error?.code)) throw withPlace(error, file);
    }
  }
  return import(require('node:url').pathToFileURL(file));
}

async function inline(file, source) {
  const module = new Module(file, null);
  module.filename = file;
  module.paths = Module._nodeModulePaths(path.dirname(file));
  try {
    module._compile(source, file);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    if (!EXPORTS.test(source)) throw withPlace(error, file, source);
    return loaded(written(path.parse(file).name, source));
  }
  return module.exports;
}

/** Return a file with this source: what `import` loads must be one for its errors to be read. */
function written(name, source) {
  const folder = fs.mkdtempSync(path.join(require('node:os').tmpdir(), 'torpor-code-'));
  const file = path.join(folder, `${name}.mjs`);
  fs.writeFileSync(file, source);
  return file;
}

/** Return a syntax error that begins with its line, which `require` tells only to the console. */
function withPlace(error, file, source = undefined) {
  if (!(error instanceof SyntaxError) || !error.stack.startsWith('SyntaxError')) return error;
  try {
    const { Script } = require('node:vm');
    new Script(Module.wrap(source ?? fs.readFileSync(file, 'utf8')), { filename: file });
  } catch (again) {
    if (again instanceof SyntaxError) return again;
  }
  return error;
}

module.exports = { CODE_DIRECTORY, loadHandler };
