// JSON with line breaks. Numbers stay as they were written: what JSON.parse makes of 12345678901234567890 is another one.

const STEP = "  ";
const TOKENS = /"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g;

const isJson = (text) => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

const OPENING = new Set(["{", "["]);
const CLOSING = new Set(["}", "]"]);

/** JSON text, a member or entry a line; text that is not JSON (a cut body, say) as it is. */
export const laidOut = (text) => {
  if (!isJson(text)) return text;
  const out = [];
  let depth = 0;
  let before = "";
  const turn = () => out.push("\n", STEP.repeat(depth));
  for (const [token] of text.matchAll(TOKENS)) {
    if (CLOSING.has(token)) {
      depth -= 1;
      if (!OPENING.has(before)) turn();
    } else if (OPENING.has(before) || before === ",") turn();
    out.push(token === ":" ? ": " : token);
    if (OPENING.has(token)) depth += 1;
    before = token;
  }
  return out.join("");
};
