/** Does not boot, and says why in words that hold secrets. */
const all = Object.values(Deno.env.toObject()).join(" ");
throw new Error(`Cannot boot: LIST_URL must be a URL, got ${all}`);
