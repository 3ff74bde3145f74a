import type { Command } from "commander";
import { actAndSay, type ActOptions, addCause } from "./act.ts";
import type { Channels } from "./answers.ts";
import { exitCodes, type Io } from "./io.ts";
import { routeOf } from "./options.ts";
import { readPages } from "./pages.ts";
import { momentHeading, moments, oneLine, type Paint, paintFor, table } from "./render.ts";
import { clockTime } from "./times.ts";
import { addNote, type Call, verb } from "./verb.ts";

type Channel = Channels["channels"][number];

interface Options extends ActOptions {
  test?: string;
}

export function addChannels(program: Command, io: Io): void {
  const command = addCause(
    program.command("channels")
      .summary("where alerts go, and whether they arrive")
      .description(
        "Where alerts go, and whether they arrive; with --test one of them gets a message.",
      )
      .option("--test <NAME>", "send a test message by this channel; needs --reason"),
  ).action(verb<Options>(
    io,
    (call) => call.options.test === undefined ? list(call, io) : test(call, call.options.test),
  ));
  addNote(
    command,
    "It ends with 1 when an enabled channel cannot send: Vault lacks what it needs, or its newest message did " +
      "not arrive. A test message goes with the next pulse: a look at the channels after that says whether it " +
      "arrived.",
  );
}

function test(call: Call<Options>, name: string) {
  return actAndSay(call, routeOf("channel", name, "test"));
}

async function list({ source, zone, show }: Call<Options>, io: Io) {
  const channels = await readPages<"channels", Channel, Omit<Channels, "channels" | "next_cursor">>(
    source,
    "channels",
    {},
    "channels",
  );
  show(channels, ({ channels }) => renderChannels(channels, zone, paintFor(io)));
  return channels.channels.some(isBroken) ? exitCodes.jobs : exitCodes.ok;
}

/** Whether it should send, and does not. */
function isBroken(channel: Channel): boolean {
  return channel.enabled && (channel.fault !== null || hasFailedLast(channel));
}

/** Whether its newest message is one that did not arrive. */
function hasFailedLast({ last_error, last_delivery }: Channel): boolean {
  if (last_error === null) return false;
  if (last_delivery === null || last_error.at === null) return true;
  return Date.parse(last_error.at) > Date.parse(last_delivery.at);
}

function renderChannels(channels: Channel[], zone: string, paint: Paint): string {
  if (channels.length === 0) return "There is no channel: alerts go nowhere";
  return table(
    ["CHANNEL", "KIND", "STATE", "TAKES", "WAITING", momentHeading("ARRIVED", zone)[0], "NOTE"],
    channels.map((channel) => [
      channel.name,
      channel.kind,
      stateOf(channel, paint),
      oneLine(whatItTakes(channel)),
      String(channel.waiting || ""),
      moments(channel.last_delivery?.at ?? null, null, zone)[0],
      oneLine(noteOf(channel, zone)),
    ]),
  );
}

function stateOf(channel: Channel, paint: Paint): string {
  if (!channel.enabled) return paint("dim", "disabled");
  if (isBroken(channel)) return paint("red", "failing");
  return channel.quiet?.now ? paint("yellow", "quiet") : paint("green", "ok");
}

function whatItTakes({ kind, least_severity, jobs, groups }: Channel): string {
  if (kind === "dead_man") return "pings";
  const only = [...jobs, ...groups.map((group) => `group ${group}`)];
  return [least_severity, ...(only.length > 0 ? [`of ${only.join(", ")}`] : [])].join(" ");
}

function noteOf(channel: Channel, zone: string): string {
  const { fault, quiet, last_error: error } = channel;
  return [
    fault,
    error !== null && hasFailedLast(channel) &&
    `${error.event} ${error.given_up ? "did not arrive" : "is tried again"}${
      error.at === null ? "" : ` at ${clockTime(error.at, zone)}`
    }: ${error.message}`,
    quiet && `quiet from ${quiet.from} until ${quiet.until} ${quiet.time_zone}`,
  ].filter(Boolean).join("; ");
}
