/** Dates as templates write them: Python's `strftime` in the C locale, whatever the language of the machine is. */

const MONTHS = "January February March April May June July August September October November December".split(" ");
const DAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");

/** The local time of `date` in `format`. A code that is not known stays as it is. */
export function strftime(date: Date, format: string): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const month = MONTHS[date.getMonth()]!;
  const day = DAYS[date.getDay()]!;
  const hours = date.getHours();
  const yearStart = Date.UTC(date.getFullYear(), 0, 1);
  const dayOfYear = (Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - yearStart) / 86_400_000 + 1;
  const codes: Readonly<Record<string, string>> = {
    Y: String(date.getFullYear()),
    y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1),
    d: two(date.getDate()),
    j: String(dayOfYear).padStart(3, "0"),
    B: month,
    b: month.slice(0, 3),
    A: day,
    a: day.slice(0, 3),
    H: two(hours),
    I: two(hours % 12 === 0 ? 12 : hours % 12),
    p: hours < 12 ? "AM" : "PM",
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    "%": "%",
  };
  return format.replaceAll(/%(-?)([A-Za-z%])/g, (whole, dash: string, code: string) => {
    const text = codes[code];
    if (text === undefined) return whole;
    // GNU's dash leaves out the zeros in front.
    return dash === "-" ? text.replace(/^0+(?=\d)/, "") : text;
  });
}
