/** One of the queues that the bench compares. */
export interface Contestant {
  name: string;
  /** How it is set up, for the bench's parts. */
  setting: string;
  /** Makes that many tasks that do nothing, and has the tables vacuumed and analyzed. */
  fill(count: number): Promise<void>;
  /** Has four workers do them; ends when the database holds the end of the last. */
  drain(count: number): Promise<void>;
  stop(): Promise<void>;
}
