/** Does not boot. */
throw new Error("Cannot boot: this function is broken on purpose");

export default { fetch: () => new Response("never") };
