// Are a page's answers the native ones?

/** f64 may differ in the last bits: sums are taken in another order. */
const ROUNDING = 1e-12;
/**
 * Training calculates in f32, and natively other instructions round otherwise. So the page may be as far from f64 as this many
 * times the native f32 is at its farthest, and a few roundings of f32 more.
 */
const FACTOR = 4;
const FLOOR = 16 * 2 ** -24;

/** What differs first, or null. `native` has `answers` and, for training, what f64 gives as `exact`. */
export function compare(given, { answers, exact }) {
  const [said, expected] = [words(given), words(answers)];
  if (said !== expected) {
    return `${said} in the place of ${expected}`;
  }
  const [page, here] = [numbers(given), numbers(answers)];
  if (page.length !== here.length || page.some(({ path }, i) => path !== here[i].path)) {
    return `${page.length} numbers in the place of ${here.length}, or others`;
  }
  const reference = exact ? numbers(exact) : here;
  const size = largest(here, ({ value }) => Math.abs(value));
  const off = (list) => (number, i) => Math.abs(list[i].value - reference[i].value) / (size.get(number.kind) || 1);
  const native = largest(here, off(here));
  const ofPage = off(page);
  for (const [i, number] of page.entries()) {
    const allowed = exact ? FACTOR * native.get(number.kind) + FLOOR : ROUNDING;
    if (!(ofPage(number, i) <= allowed)) {
      const { path, value } = number;
      return `${path} is ${value}, natively ${here[i].value}, in f64 ${reference[i].value}; allowed are ${allowed}`;
    }
  }
  return null;
}

/** All that is no number. */
function words(value) {
  return JSON.stringify(value, (_, inner) => (typeof inner === "number" ? 0 : inner));
}

/** The largest of something among the numbers of each kind. */
function largest(list, of) {
  const most = new Map();
  list.forEach((number, i) => {
    most.set(number.kind, Math.max(most.get(number.kind) ?? 0, of(number, i)));
  });
  return most;
}

/** Every number of an answer, with where it is; numbers of one kind share the name of their field. */
function numbers(value, path = "", kind = "") {
  if (typeof value === "number") {
    return [{ path, kind, value }];
  }
  if (value === null || typeof value !== "object") {
    return [];
  }
  return Object.entries(value).flatMap(([key, inner]) =>
    numbers(inner, `${path}/${key}`, Array.isArray(value) ? kind : key),
  );
}
