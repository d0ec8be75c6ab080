/** Schedules against transformers' get_scheduler: golden/make/schedules.py. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { ConfigError } from "../../src/errors.ts";
import { schedule, type ScheduleName, type ScheduleOptions, SCHEDULES } from "../../src/optim/schedule.ts";
import { assertClose } from "../support/close.ts";

interface Golden {
  readonly peak: number;
  readonly steps: number;
  readonly cases: readonly {
    readonly name: ScheduleName;
    readonly warmup: number;
    readonly options: {
      readonly num_cycles?: number;
      readonly power?: number;
      readonly lr_end?: number;
      readonly min_lr?: number;
      readonly min_lr_rate?: number;
    };
    readonly rates: readonly number[];
  }[];
}

const file = new URL("../../../golden/schedules.json", import.meta.url);
const { peak, steps, cases } = JSON.parse(readFileSync(file, "utf8")) as Golden;

describe("as in transformers", () => {
  for (const { name, warmup, options, rates } of cases) {
    test(`${name}, ${warmup} steps of warm-up, ${JSON.stringify(options)}`, () => {
      const end = options.lr_end ?? options.min_lr ?? (options.min_lr_rate && options.min_lr_rate * peak);
      const factor = schedule(name, {
        totalSteps: steps,
        warmupSteps: warmup,
        learningRate: peak,
        ...(options.num_cycles === undefined ? {} : { cycles: options.num_cycles }),
        ...(options.power === undefined ? {} : { power: options.power }),
        ...(end === undefined ? {} : { endLearningRate: end }),
      });
      // Both in float64; the formulas round in other places.
      const got = rates.map((_, step) => factor(step) * peak);
      assertClose(got, rates, { relative: 1e-12, absolute: 1e-18 });
    });
  }

  test("every schedule is compared", () => {
    assert.deepEqual([...new Set(cases.map(({ name }) => name))].toSorted(), SCHEDULES.toSorted());
  });
});

test("after the last step a schedule stays where it is", () => {
  const options = { totalSteps: 10, learningRate: 1, endLearningRate: 0.25 };
  for (const name of SCHEDULES.filter((one) => one !== "inverse_sqrt")) {
    const factor = schedule(name, options);
    assert.equal(factor(11), factor(10), name);
    assert.equal(factor(1000), factor(10), name);
  }
});

test("warm-up that is longer than the run", () => {
  const factor = schedule("linear", { totalSteps: 4, warmupSteps: 8 });
  assert.deepEqual([0, 1, 4, 8].map(factor), [0, 1 / 8, 1 / 2, 0]);
});

test("what is out of range is named", () => {
  const fails = (message: string, name: string, options: ScheduleOptions) =>
    assert.throws(
      () => schedule(name as ScheduleName, options),
      (error) => {
        assert.ok(error instanceof ConfigError);
        assert.equal(error.message, message);
        return true;
      },
    );
  const totalSteps = 10;
  const names = SCHEDULES.join(", ");
  fails(`lr_scheduler_type: no such schedule: got cosin, expected ${names}`, "cosin", { totalSteps });
  fails(`lr_scheduler_type: no such schedule: got toString, expected ${names}`, "toString", { totalSteps });
  const integer = (least: number) => `expected an integer >= ${least}`;
  fails(`schedule: totalSteps: out of range: got 0, ${integer(1)}`, "linear", { totalSteps: 0 });
  fails(`schedule: totalSteps: out of range: got NaN, ${integer(1)}`, "linear", { totalSteps: NaN });
  fails(`schedule: warmupSteps: out of range: got -1, ${integer(0)}`, "linear", { totalSteps, warmupSteps: -1 });
  fails(`schedule: warmupSteps: out of range: got 0.1, ${integer(0)}`, "linear", { totalSteps, warmupSteps: 0.1 });
  fails("schedule: cycles: out of range: got 0, expected a number > 0", "cosine", { totalSteps, cycles: 0 });
  fails("schedule: power: out of range: got Infinity, expected a number > 0", "polynomial", {
    totalSteps,
    power: Infinity,
  });
  const hint = "\n  hint: a schedule that ends at a learning rate has to know where it starts and where it ends";
  fails(`schedule: learningRate: polynomial needs it${hint}`, "polynomial", { totalSteps });
  fails(`schedule: endLearningRate: cosine_with_min_lr needs it${hint}`, "cosine_with_min_lr", {
    totalSteps,
    learningRate: 1,
  });
  fails(
    "schedule: endLearningRate: out of range: got 0.1, expected at least 0, and below the learning rate 0.01",
    "polynomial",
    { totalSteps, learningRate: 0.01, endLearningRate: 0.1 },
  );
});
