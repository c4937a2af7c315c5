// Loaded before the program: from the moment when the file FAIL_WHEN is there, what FAIL_WHAT names fails with EIO.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const { FAIL_WHEN = '', FAIL_WHAT = '' } = process.env;
const failed = () => Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });
const now = () => fs.existsSync(FAIL_WHEN);
const logFiles = new Set();

const { open, write, readFileSync } = fs;
const { readFile } = fs.promises;

fs.open = (path, ...rest) => {
  const done = rest.pop();
  open(path, ...rest, (error, descriptor) => {
    if (error === null && String(path).includes('/wal/')) logFiles.add(descriptor);
    done(error, descriptor);
  });
};
fs.write = (descriptor, ...rest) => {
  if (FAIL_WHAT === 'log write' && logFiles.has(descriptor) && now()) {
    process.nextTick(rest.at(-1), failed());
    return;
  }
  write(descriptor, ...rest);
};
fs.promises.readFile = (path, ...rest) =>
  FAIL_WHAT === 'log read' && typeof path === 'string' && path.endsWith('.wal') && now()
    ? Promise.reject(failed())
    : readFile(path, ...rest);
fs.readFileSync = (path, ...rest) => {
  if (FAIL_WHAT === 'keyring read' && String(path).endsWith('/keyring') && now()) throw failed();
  return readFileSync(path, ...rest);
};
syncBuiltinESMExports();
