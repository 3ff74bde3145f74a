/** The processes of this machine. A small system has no `ps`, so where there is a /proc it is read. */

export interface Process {
  pid: number;
  parent: number;
  /** The program by the name it was called by; where only `ps` tells, up to the first blank. */
  program: string;
  /** Program and arguments, with a blank between them. */
  command: string;
}

/** All that can be seen; none, not even this one, means that nothing can be known here. */
export function listProcesses(): Process[] {
  return Deno.build.os === "linux" ? fromProc() : fromPs();
}

/** The ids of the children of a process, or of all its descendants. */
export function childrenOf(pid: number, depth: "children" | "descendants" = "children"): number[] {
  const processes = listProcesses();
  const found = [pid];
  for (let index = 0; index < found.length; index++) {
    for (const child of processes) if (child.parent === found[index]) found.push(child.pid);
    if (depth === "children") break;
  }
  return found.slice(1);
}

function fromProc(): Process[] {
  const processes: Process[] = [];
  try {
    for (const { name } of Deno.readDirSync("/proc")) {
      const process = /^\d+$/.test(name) ? readProc(name) : undefined;
      if (process) processes.push(process);
    }
  } catch {
    // No /proc: nothing is known.
  }
  return processes;
}

function readProc(pid: string): Process | undefined {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    // "7 (name) S 1 …", and the name may hold anything, a bracket too.
    const [, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const words = Deno.readTextFileSync(`/proc/${pid}/cmdline`).split("\0");
    const command = words.join(" ").trim();
    return { pid: Number(pid), parent: Number(parent), program: words[0]!, command };
  } catch {
    // It ended while we looked.
    return undefined;
  }
}

function fromPs(): Process[] {
  try {
    const args = ["-A", "-o", "pid=,ppid=,args="];
    const { stdout } = new Deno.Command("ps", { args, stderr: "null" }).outputSync();
    return new TextDecoder().decode(stdout).trim().split("\n").map((line) => {
      const [pid, parent, ...command] = line.trim().split(/\s+/);
      return {
        pid: Number(pid),
        parent: Number(parent),
        program: command[0] ?? "",
        command: command.join(" "),
      };
    });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
