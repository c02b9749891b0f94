/** --boot-timer: which line is printed when, and a text that comes in pieces. */
import { expect, test } from "vitest";
import { BootTimer } from "../../qemu-user/boot-timer.ts";

function timer(text?: string) {
  const clock = { ms: 0 };
  const lines: string[] = [];
  const made = new BootTimer({ text }, { now: () => clock.ms, report: (line) => lines.push(line) });
  const at = (ms: number): BootTimer => {
    clock.ms = ms;
    return made;
  };
  return { at, lines };
}

test("the first output tells all that was before it, the end itself", () => {
  const { at, lines } = timer();
  at(210).mark("kvm-core ready");
  at(400).mark("guest entered");
  at(500).mark("guest entered"); // after a reset
  expect(lines).toEqual([]);
  at(930).output("serial", Buffer.from("a"));
  at(950).output("serial", Buffer.from("b"));
  at(3210).end();
  expect(lines).toEqual([
    "boot-timer: kvm-core ready 0.21 s, guest entered 0.40 s, first output 0.93 s",
    "boot-timer: end 3.21 s",
  ]);
});

test("a text counts where its last byte comes, in one back end's output", () => {
  const { at, lines } = timer("login:");
  at(100).output("serial", Buffer.from("welcome log"));
  at(200).output("debugcon", Buffer.from("in:"));
  at(300).output("serial", Buffer.from("in: "));
  at(400).output("serial", Buffer.from("login: "));
  expect(lines).toEqual(["boot-timer: first output 0.10 s", 'boot-timer: "login:" 0.30 s']);
});

test("a guest that wrote nothing", () => {
  const { at, lines } = timer("login:");
  at(100).mark("kvm-core ready");
  at(1000).end();
  expect(lines).toEqual(['boot-timer: kvm-core ready 0.10 s, "login:" never, end 1.00 s']);
});
