/** Days, months, seasons and numbers, in order. */

export const DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"] as const;

export const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
] as const;

/** Each season with its first month, and what it is known for. */
export const SEASONS = [
  { name: "spring", start: 2, known: "the flowers open and the birds build their nests" },
  { name: "summer", start: 5, known: "the days are long and warm" },
  { name: "autumn", start: 8, known: "the leaves turn red and the apples are ripe" },
  { name: "winter", start: 11, known: "the days are short and snow falls on the hills" },
] as const;

/** The season of a month, 0 for January. */
export function seasonOf(month: number): (typeof SEASONS)[number] {
  return SEASONS[Math.floor(((month + 10) % 12) / 3)]!;
}

const SMALL = (
  "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen " +
  "eighteen nineteen"
).split(" ");
const TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split(" ");

/**
 * A number in words.
 * @param n an integer from 0 to 100
 */
export function inWords(n: number): string {
  if (n === 100) return "one hundred";
  if (n < 20) return SMALL[n]!;
  const tens = TENS[Math.floor(n / 10) - 2]!;
  return n % 10 === 0 ? tens : `${tens}-${SMALL[n % 10]!}`;
}
