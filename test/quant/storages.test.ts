/** Every storage keeps the contract. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "../../src/errors.ts";
import { bfloat16 } from "../../src/quant/bfloat16.ts";
import { float16 } from "../../src/quant/float16.ts";
import { float32 } from "../../src/quant/float32.ts";
import { fp4 } from "../../src/quant/fp4.ts";
import { STORAGES, storageOf } from "../../src/quant/index.ts";
import { int4 } from "../../src/quant/int4.ts";
import { nf4 } from "../../src/quant/nf4.ts";
import { describeStorage } from "../../src/testing/describe-storage.ts";

describeStorage({ storage: float32, error: 0 });
// Half a unit in the last place: 8 and 11 bits of precision.
describeStorage({ storage: bfloat16, error: 2 ** -8 });
// The smallest of the drawn numbers are subnormal in float16.
describeStorage({ storage: float16, error: 2 ** -11, per: 16 });
// Half of the widest gap between two levels: in 4 bits, times the largest magnitude of the block.
describeStorage({ storage: int4, error: 0.5 / 7 + 1e-6, per: 64 });
describeStorage({ storage: fp4, error: (1 - 8 / 12) / 2 + 1e-6, per: 64 });
describeStorage({ storage: nf4, error: (1 - 0.6961928) / 2 + 1e-6, per: 64 });
// The constants themselves are off: by half of the widest gap of the dynamic map, times their largest deviation.
for (const storage of [int4, fp4, nf4]) describeStorage({ storage, doubleQuantization: true, error: 0.2, per: 64 });

test("the registry names its storages, and the nearest one of a name that is not there", () => {
  assert.equal(new Set(STORAGES.map(({ name }) => name)).size, STORAGES.length);
  assert.equal(storageOf("nf4"), nf4);
  assert.throws(
    () => storageOf("nf5"),
    (error) => error instanceof ConfigError && /the nearest name is "nf4"/.test(error.message),
  );
});

test("float16 refuses what it would make infinite, and says what holds it", () => {
  assert.throws(() => float16.encode(Float32Array.of(1, 70000), [2], { doubleQuantization: false }), /bfloat16/);
});
