/** What `npm start` and `npm test` do first: install what is missing, then build. */
import { build } from './build.mjs';
import { ensureInstalled } from './install.mjs';
import { main } from './run.mjs';

await main(async () => {
  await ensureInstalled();
  build();
});
