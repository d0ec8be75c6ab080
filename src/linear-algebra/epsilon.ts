/**
 * The distance from 1 to the next float64.
 *
 * `Number.EPSILON` is the same number, but V8 copies such a property to the heap when it compiles a function that reads it; in a
 * thread that is ended meanwhile, Node 20 aborts the process over that copy. A constant of a module needs none.
 */
export const EPSILON = 2 ** -52;
