/**
 * Which parameters are updated together, where the optimizer's states have a budget of memory (paged optimizers: Dettmers
 * et al. 2023, QLoRA, arXiv 2305.14314, §3). What fits the budget stays in memory and is updated in one run; the rest is
 * paged: its states are in a file, and each group of it is read, updated and written back before the next one.
 *
 * Different from the paper: states move at known moments and not on page faults, so that the memory has a bound: the
 * budget, and the largest group.
 */

/** Parameters that must be updated in one run, because the update of one reads another. */
export interface UpdateUnit<P> {
  readonly members: readonly P[];
  /** Of the optimizer's states of all of them. */
  readonly bytes: number;
}

export interface UpdateGroup<P> {
  readonly members: readonly P[];
  readonly bytes: number;
  /** Whether the states are in a file. */
  readonly paged: boolean;
}

/**
 * Groups below this size are put together: a run costs about as much as an update of this size takes to read. A parameter
 * with more is a group of its own.
 */
const GROUP_BYTES = 64 << 20;

/**
 * Units stay in memory in their order as long as they fit; one that does not is passed over for smaller ones after it.
 * @param budget bytes of states in memory, besides those of the group at work; at least 0
 */
export function updateGroups<P>(
  units: readonly UpdateUnit<P>[],
  budget: number,
  groupBytes: number = GROUP_BYTES,
): UpdateGroup<P>[] {
  let left = budget;
  const resident: UpdateUnit<P>[] = [];
  const rest: UpdateUnit<P>[] = [];
  for (const unit of units) {
    if (unit.bytes <= left) {
      resident.push(unit);
      left -= unit.bytes;
    } else rest.push(unit);
  }
  const groups: UpdateUnit<P>[][] = [];
  const size = Math.max(groupBytes, ...rest.map(({ bytes }) => bytes));
  let room = 0;
  for (const unit of rest) {
    if (unit.bytes > room) {
      groups.push([]);
      room = size;
    }
    groups.at(-1)!.push(unit);
    room -= unit.bytes;
  }
  return [...(resident.length === 0 ? [] : [joined(resident, false)]), ...groups.map((group) => joined(group, true))];
}

function joined<P>(units: readonly UpdateUnit<P>[], paged: boolean): UpdateGroup<P> {
  return {
    members: units.flatMap(({ members }) => members),
    bytes: units.reduce((sum, { bytes }) => sum + bytes, 0),
    paged,
  };
}

/**
 * Members that read each other, directly or by way of others, in one set; in the order of their first members.
 * @param readBy the members whose old contents the update of a member needs
 */
export function connected<P>(members: readonly P[], readBy: (member: P) => readonly P[]): P[][] {
  const parent = new Map(members.map((member) => [member, member]));
  const root = (member: P): P => {
    let at = member;
    while (parent.get(at) !== at) at = parent.get(at)!;
    return at;
  };
  for (const member of members) {
    for (const other of readBy(member)) parent.set(root(other), root(member));
  }
  const sets = new Map<P, P[]>();
  for (const member of members) {
    const key = root(member);
    sets.set(key, [...(sets.get(key) ?? []), member]);
  }
  return [...sets.values()];
}
