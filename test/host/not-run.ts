/**
 * Descriptions that the check against the host's processor leaves out, with the reason.
 * Document: SDM volume 2, the instructions of the names.
 * Left out: nothing: check.test.ts fails for a description that is neither run nor here, and for a row that nothing needs.
 *
 * Privileged instructions are not here: both sides run at CPL 3, where each of them has to give #GP(0).
 */

import type { Form } from "../../kvm-core/isa/form.ts";
import type { Insn } from "../../kvm-core/isa/insn.ts";

type Part = ("register operand" | "address-size prefix" | "operand size 16" | "operand size 32") | "misaligned operand";

interface NotRun {
  readonly mnemonic: string;
  /** The form's text begins so; all forms if absent. */
  readonly form?: string;
  /** Only this part of it; the rest is run. */
  readonly part?: Part;
  readonly reason: string;
}

const HOSTS_TABLES = "loads a descriptor of the host kernel's GDT or LDT";
const SHA_ALIGNMENT = "#GP on processors of Intel; AMD's take it";

export const NOT_RUN: readonly NotRun[] = [
  { mnemonic: "cpuid", reason: "says what the host is, not what the guest's CPU model is" },
  ...["rdtsc", "rdtscp"].map((mnemonic) => ({ mnemonic, reason: "its result is the time" })),
  { mnemonic: "rdpid", reason: "says on which of the host's processors it ran" },
  ...["rdrand", "rdseed"].map((mnemonic) => ({ mnemonic, reason: "its result is random" })),
  ...["syscall", "sysenter"].map((mnemonic) => ({ mnemonic, reason: "is a system call of the host kernel" })),
  { mnemonic: "sysret", reason: "the host kernel sets EFER.SCE, the guest's processor has it clear" },
  ...["rdfsbase", "rdgsbase", "wrfsbase", "wrgsbase"].map((mnemonic) => ({
    mnemonic,
    reason: "the runner's thread-local storage lies at that base",
  })),
  ...["sgdt", "sidt", "sldt", "str", "smsw"].map((mnemonic) => ({
    mnemonic,
    reason: "under UMIP the host kernel emulates it with values of its own",
  })),
  ...["lar", "lsl", "verr", "verw"].map((mnemonic) => ({
    mnemonic,
    reason: "looks at a descriptor of the host kernel's GDT or LDT",
  })),
  { mnemonic: "xgetbv", reason: "says what the host's kernel has enabled" },
  ...["rnds4", "nexte", "msg1", "msg2"].map((name) => ({
    mnemonic: `sha1${name}`,
    part: "misaligned operand" as const,
    reason: SHA_ALIGNMENT,
  })),
  ...["rnds2", "msg1", "msg2"].map((name) => ({
    mnemonic: `sha256${name}`,
    part: "misaligned operand" as const,
    reason: SHA_ALIGNMENT,
  })),
  { mnemonic: "int", reason: "goes through the host kernel's IDT, and may be a system call" },
  { mnemonic: "int1", reason: "some hypervisors give the #DB of it the RIP of the instruction" },
  { mnemonic: "iret", reason: HOSTS_TABLES },
  { mnemonic: "lret", reason: HOSTS_TABLES },
  ...["ljmp", "lcall", "les", "lds", "lss", "lfs", "lgs"].map((mnemonic) => ({ mnemonic, reason: HOSTS_TABLES })),
  { mnemonic: "mov", form: "8E ", reason: HOSTS_TABLES },
  {
    mnemonic: "nop",
    form: "0F 0D ",
    part: "register operand",
    reason: "PREFETCHW: #UD on processors of AMD, nothing on Intel's",
  },
  ...["0F 0D /1 Rv", "0F 0D /2 Rv"].map((form) => ({
    mnemonic: "nop",
    form,
    reason: "PREFETCHW: #UD on processors of AMD, nothing on Intel's",
  })),
  ...["06", "0E", "16", "1E", "0F A0", "0F A8"].map((form) => ({
    mnemonic: "push",
    form,
    part: "operand size 32" as const,
    reason: "writes 16 of the 32 bits on Intel's processors, all on AMD's",
  })),
  { mnemonic: "movsxd", part: "operand size 16", reason: "reads 16 bits on Intel's processors, 32 on AMD's" },
  ...["07", "17", "1F", "0F A1", "0F A9"].map((form) => ({ mnemonic: "pop", form, reason: HOSTS_TABLES })),
];

/** The row that leaves out a form, or the part of it that is named. */
export function notRun({ mnemonic }: Insn, { text }: Form, part: Part | "all"): NotRun | undefined {
  return NOT_RUN.find(
    (row) => row.mnemonic === mnemonic && text.startsWith(row.form ?? "") && (row.part ?? "all") === part,
  );
}
