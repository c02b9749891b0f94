/**
 * What an instruction may ask of TypeScript, and why generated code does not do it: the whole list of escapes.
 * Document: architecture.md section 5, law 3: long or rare work is one named helper call, the same in all engines.
 * Left out: what they do: a method each in engine/helpers.ts and engine/helpers/.
 *
 * test/kvm-core/emit/helper-names.test.ts counts them, and fails for one that no description calls.
 */

const READS_STATE = "privileged, or reads what only TypeScript keeps";
const CHANGES_MODE = "may change the mode, the mapping or what is recorded, so the engine has to look around";
const DESCRIPTORS = "reads and checks descriptors in tables of the guest's";
const TRANSFERS = "changes CS, and with it privilege, stack and mode";
const IMAGE = "an image of many bytes, checked as a whole before anything is read or written";

export const HELPERS = {
  // --- the processor: identity, time, control
  cpuid: "looks its leaf up in the table that the vCPU was given",
  rdtsc: "reads the host's clock",
  rdtscp: "reads the host's clock",
  rdpid: READS_STATE,
  rdpmc: "there is no performance counter: #GP, but only where that is allowed to be found out",
  random: "asks the host for a random number",
  monitor: READS_STATE,
  mwait: "leaves the guest",
  flushLine: "there is no cache, but the address is checked",
  rdmsr: READS_STATE,
  wrmsr: CHANGES_MODE,
  hlt: "leaves the guest",
  readCr: READS_STATE,
  writeCr: CHANGES_MODE,
  readDr: READS_STATE,
  writeDr: CHANGES_MODE,
  smsw: READS_STATE,
  lmsw: CHANGES_MODE,
  clts: CHANGES_MODE,
  invlpg: CHANGES_MODE,
  invpcid: CHANGES_MODE,
  swapgs: "privileged, and exchanges a segment's base with a register",
  readBase: READS_STATE,
  writeBase: "the base of FS or GS, checked",
  privileged: "nothing to do but to check the privilege",
  // --- flags
  cli: "IF depends on privilege and mode",
  sti: "IF depends on privilege and mode, and interrupts are held off for one instruction",
  pushf: "an image of flags that depends on the mode",
  popf: "what may change depends on privilege and mode",
  // --- ports
  in: "leaves the guest, or asks the interrupt controllers",
  out: "leaves the guest, or tells the interrupt controllers",
  ioPermission: "reads the I/O permission bitmap in the task state segment",
  // --- segments and tables
  readSreg: READS_STATE,
  writeSreg: DESCRIPTORS,
  loadPointer: DESCRIPTORS,
  table: "two fields of a descriptor-table register",
  loadTable: CHANGES_MODE,
  protectedMode: "#UD outside protected mode, before anything else",
  lldt: DESCRIPTORS,
  ltr: DESCRIPTORS,
  lar: DESCRIPTORS,
  lsl: DESCRIPTORS,
  verify: DESCRIPTORS,
  // --- control flow
  int: TRANSFERS,
  int1: TRANSFERS,
  iret: TRANSFERS,
  farJump: TRANSFERS,
  farCall: TRANSFERS,
  farRet: TRANSFERS,
  syscall: TRANSFERS,
  sysret: TRANSFERS,
  sysenter: TRANSFERS,
  sysexit: TRANSFERS,
  enter: "copies up to 31 frame pointers",
  // --- wide integers
  cmpxchg16b: "locked operation on 16 bytes, which WebAssembly has not",
  divide: "a dividend of 128 bits",
  // --- x87, MMX, SSE
  fpuTrap: "raises what is due before an instruction of a unit",
  simdException: "raises what an SSE instruction met",
  maskMove: "a store of chosen bytes, each checked",
  x87Function: "transcendental functions, to the last bit",
  fldenv: IMAGE,
  frstor: IMAGE,
  fnstenv: IMAGE,
  fnsave: IMAGE,
  fxsave: IMAGE,
  fxrstor: IMAGE,
  xsave: IMAGE,
  xsaveopt: IMAGE,
  xsavec: IMAGE,
  xsaves: IMAGE,
  xrstor: IMAGE,
  xrstors: IMAGE,
  xgetbv: READS_STATE,
  xsetbv: CHANGES_MODE,
} as const satisfies Record<string, string>;

export type HelperName = keyof typeof HELPERS;
