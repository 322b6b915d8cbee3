// Scores by which heads are found, as `lm.head_scores` names them, here of the text at hand: a name, and the places that they are about.
const FINDS = {
  previous: "at the token before", first: "at the first token", self: "at itself", duplicate: "at the same token before",
  induction: "at what stood behind the same token before", narrow: "at few tokens: 1 is one alone, 0 all alike", chosen: "at the chosen token",
};
const OF_ANY = ["narrow", "chosen"];

// By query, the keys whose weights count together; null where that query says nothing. `ids` are the tokens' where these look at
// themselves.
function places(name, first, n, ids, chosen) {
  const seen = new Map();
  return Array.from({ length: n }, (_, q) => {
    const before = [...(seen.get(ids?.[q]) ?? [])], found = {
      previous: [q - 1], first: [0], self: [q], duplicate: before, induction: before.map((k) => k + 1), narrow: [], chosen: [chosen],
    }[name];
    seen.set(ids?.[q], [...before, q]);
    const isOwn = ids && (name === "previous" || name === "first" ? q === 0 : name === "chosen" && q <= chosen);
    return q < first || isOwn || !found.length && name !== "narrow" ? null : found;
  });
}

// The mean over the queries that have such places, NaN where none has; `row(q)` is what a head's query looks at.
function scoreOf(name, row, places) {
  let sum = 0, count = 0;
  places.forEach((keys, q) => {
    if (!keys) return;
    const weights = row(q);
    if (name === "narrow") {
      if (weights.length < 2) return;
      sum += 1 + weights.reduce((sum, weight) => sum + (weight > 0 ? weight * Math.log(weight) : 0), 0) / Math.log(weights.length);
    } else for (const k of keys) sum += weights[k];
    count++;
  });
  return count ? sum / count : NaN;
}
