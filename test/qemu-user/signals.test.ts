/** Signals: the first presses the power button if the guest listens to it, the second ends; a stuck machine is ended. */
import { expect, test, vi } from "vitest";
import { PowerSignals } from "../../qemu-user/signals.ts";

function signals(pressPowerButton: () => Promise<boolean>) {
  const said: string[] = [];
  const ended: number[] = [];
  const made = new PowerSignals({
    pressPowerButton,
    end: (status) => ended.push(status),
    report: (line) => said.push(line),
  });
  return { made, said, ended };
}

test("a guest that listens: the first presses the button, the second ends", async () => {
  const { made, said, ended } = signals(async () => true);
  await made.take("SIGTERM");
  expect(said).toEqual(["SIGTERM: the power button is pressed; a second signal ends the machine at once"]);
  expect(ended).toEqual([]);
  await made.take("SIGINT");
  expect(said[1]).toBe("terminating on SIGINT");
  expect(ended).toEqual([130]);
});

test.each([
  ["SIGTERM", 143],
  ["SIGINT", 130],
  ["SIGHUP", 129],
] as const)("a guest that does not listen ends by the first %s", async (name, status) => {
  const { made, said, ended } = signals(async () => false);
  await made.take(name);
  expect(said).toEqual([`terminating on ${name}`]);
  expect(ended).toEqual([status]);
});

test("a second signal does not wait for the answer to the first, and a device thread that is stuck is not waited for", async () => {
  vi.useFakeTimers();
  try {
    const { made, ended } = signals(() => new Promise(() => {}));
    const first = made.take("SIGTERM");
    await made.take("SIGTERM");
    expect(ended).toEqual([143]);
    await vi.advanceTimersByTimeAsync(2_000);
    await first;
    expect(ended).toEqual([143, 143]); // whoever is first decides the status
  } finally {
    vi.useRealTimers();
  }
});
