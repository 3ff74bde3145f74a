/** Forgets what it is there for. */
export const handler = () => new Response("never");
