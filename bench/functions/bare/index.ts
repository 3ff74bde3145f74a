/** What a function is without Daybook: it says when its first line ran. */
export default {
  fetch: () => Response.json({ at: Date.now() }),
};
