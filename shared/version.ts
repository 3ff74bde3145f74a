/** The version of Daybook that these functions are of; deno.json says the same. */
export const version = "0.11.0";
