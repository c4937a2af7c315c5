import { expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { failed, storedForm } from '../../src/store/outcomes.ts';

it('keeps of a refusal its code and field, and no sentence that a release may word otherwise', () => {
  const refusal = failed(
    new HoldfastError('COMPACTED', 'revision 3 is gone', { field: 'revision', hint: 'read a newer one' }),
  );
  expect(storedForm(refusal)).toEqual({
    failure: { code: 'COMPACTED', message: '', field: 'revision', hint: '' },
    replayed: false,
  });
});
