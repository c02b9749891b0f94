/*
 * Executes single instructions on the host's processor and tells what they did to registers, flags and memory.
 * Document: SDM volume 3, 6.15 (what an exception reports); sigaction(2), signal frames of x86-64 Linux; SDM volume 1,
 * 13.4 (XSAVE area); encoding.ts is the other side of the structures below.
 * Leaves out: what an unprivileged process may not do; FS, which is the C library's.
 *
 * Every case is entered by the return from a signal handler, which loads all registers and flags at once, and ends with
 * the first exception: the instruction's own, or INT3 behind it or at its target. 32-bit code is entered the same way,
 * through the kernel's compatibility code segment. The kernel hands vector, error code and CR2 to the handler. The state of
 * x87, MMX and SSE goes the same way: the signal frame holds it, as FXSAVE lays it out; cases that do not care have none.
 *
 * stdin: struct setup, the bytes of its pages, struct request[cases], struct word[words], struct image[images];
 * stdout: struct result[cases], struct image[images], the struct words that changed.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096
#define MAX_PAGES 16
#define CODE_BYTES 32
/* Words of memory that one case may change: FXSAVE's area, and some. */
#define CHANGES 80
#define BREAKPOINT 0xcc
#define CS_32 0x23
#define CS_64 0x33
#define DATA_SELECTOR 0x2b
/* Entry 0 of the process's LDT, CPL 3. */
#define GS_SELECTOR 0x07
/* Exit statuses that case.ts knows. */
#define NO_32_BIT 3
#define ARENA_TAKEN 4
/* Vectors that the processor does not have. */
#define HUNG 254
#define TRAP_PAGE_FAULT 14
/* In a signal frame: the registers of an FXSAVE area, and XSTATE_BV behind it (SDM volume 1, 13.4.2). */
#define FXSAVE_REGISTERS 416
#define FXSAVE_AREA 512
#define XSTATE_X87_SSE 3ull
/* YMM's upper halves, opmask registers, ZMM's parts. */
#define XSTATE_WIDE 0xe4ull
#define MAGIC1_OFFSET 464

enum { HOLE, READ_WRITE, READ_ONLY };

struct setup {
  uint32_t cases, wants32, words, images;
  uint64_t data, code, code_size, gs_base;
  uint8_t pages[MAX_PAGES]; /* kinds, from `data` on */
};
struct word {
  uint64_t address, value;
};
struct request {
  uint64_t gpr[16], flags, rip; /* gpr as ModRM counts them */
  uint8_t code[CODE_BYTES];
  uint32_t length, mode;
  uint32_t first_plant, plants; /* of the words */
  uint32_t fpu, unused;         /* 1 + number of the image; 0: none */
};
struct result {
  uint64_t gpr[16], flags, rip;
  uint32_t vector, error;
  uint64_t cr2;
  uint32_t first_change, changed;
};
struct image {
  uint8_t bytes[FXSAVE_AREA];
};

static const int GREG[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                             REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static struct setup setup;
static struct request *requests;
static struct result *results;
static struct word *plants, *changes;
static struct image *images;
static uint32_t change_count;
/* What the pages hold between cases, and what they held when this case began. */
static uint8_t image[MAX_PAGES * PAGE], before[MAX_PAGES * PAGE];
static uint32_t current;
static int running;
static int32_t case_at_tick = -1;
static greg_t main_context[NGREG];
static struct image main_fpu;

static void fail(const char *what) {
  fprintf(stderr, "host-runner: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void read_all(void *to, size_t size) {
  for (uint8_t *at = to; size > 0;) {
    ssize_t got = read(0, at, size);
    if (got <= 0) fail("stdin ended early");
    at += got;
    size -= got;
  }
}

static uint8_t *data_page(int i) { return (uint8_t *)setup.data + i * PAGE; }

/* The legacy registers of the frame's XSAVE area; its other components become what they are at start. */
static void load_fpu(void *area, const struct image *image) {
  uint32_t magic;
  memcpy(&magic, (uint8_t *)area + MAGIC1_OFFSET, sizeof magic);
  memcpy(area, image, FXSAVE_REGISTERS);
  if (magic != FP_XSTATE_MAGIC1) return;
  uint64_t *present = (uint64_t *)((uint8_t *)area + FXSAVE_AREA);
  *present = (*present & ~XSTATE_WIDE) | XSTATE_X87_SSE;
}

static void load(mcontext_t *context) {
  greg_t *regs = context->gregs;
  const struct request *request = &requests[current];
  memcpy((void *)request->rip, request->code, request->length);
  for (uint32_t i = 0; i < request->plants; i++) {
    const struct word *word = &plants[request->first_plant + i];
    memcpy((void *)word->address, &word->value, 8);
    memcpy(before + (word->address - setup.data), &word->value, 8);
  }
  if (request->fpu != 0) load_fpu(context->fpregs, &images[request->fpu - 1]);
  for (int i = 0; i < 16; i++) regs[GREG[i]] = request->gpr[i];
  regs[REG_RIP] = request->rip;
  regs[REG_EFL] = request->flags;
  uint64_t selector = request->mode == 32 ? CS_32 : CS_64;
  regs[REG_CSGSFS] = (regs[REG_CSGSFS] & ~0xffffll) | selector;
}

static void note_changes(struct result *result) {
  for (int page = 0; page < MAX_PAGES; page++) {
    if (setup.pages[page] != READ_WRITE) continue;
    uint8_t *now = data_page(page), *then = before + page * PAGE;
    if (memcmp(now, then, PAGE) == 0 && memcmp(then, image + page * PAGE, PAGE) == 0) continue;
    for (int i = 0; i < PAGE; i += 8) {
      if (memcmp(now + i, then + i, 8) == 0) continue;
      if (result->changed < CHANGES) {
        changes[change_count].address = (uint64_t)(now + i);
        memcpy(&changes[change_count++].value, now + i, 8);
      }
      result->changed++;
    }
    memcpy(now, image + page * PAGE, PAGE);
    memcpy(then, image + page * PAGE, PAGE);
  }
}

static void store(const mcontext_t *context, int vector) {
  const greg_t *regs = context->gregs;
  struct result *result = &results[current];
  for (int i = 0; i < 16; i++) result->gpr[i] = regs[GREG[i]];
  result->flags = regs[REG_EFL];
  result->rip = regs[REG_RIP];
  result->vector = vector;
  result->error = vector == HUNG ? 0 : regs[REG_ERR];
  result->cr2 = vector == TRAP_PAGE_FAULT ? regs[REG_CR2] : 0;
  result->first_change = change_count;
  note_changes(result);
  if (requests[current].fpu != 0) memcpy(&images[requests[current].fpu - 1], context->fpregs, FXSAVE_REGISTERS);
  memset((void *)requests[current].rip, BREAKPOINT, requests[current].length);
}

static void next_case(mcontext_t *context, int vector) {
  store(context, vector);
  if (++current < setup.cases) {
    load(context);
    return;
  }
  running = 0;
  memcpy(context->gregs, main_context, sizeof main_context);
  load_fpu(context->fpregs, &main_fpu);
}

static void on_exception(int signal, siginfo_t *info, void *context) {
  (void)info;
  mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
  greg_t *regs = machine->gregs;
  /* POPF may have set flags that a signal frame does not carry back: NT, ID. */
  __asm__ volatile("pushq $0x202; popfq" ::: "memory", "cc");
  if (running) {
    next_case(machine, regs[REG_TRAPNO]);
    return;
  }
  if (current != 0) {
    fprintf(stderr, "host-runner: signal %d outside a case\n", signal);
    _exit(1);
  }
  /* The UD2 of main(): two bytes. */
  memcpy(main_context, regs, sizeof main_context);
  main_context[REG_RIP] += 2;
  memcpy(&main_fpu, machine->fpregs, FXSAVE_REGISTERS);
  running = 1;
  load(machine);
}

/* A case that outlives a whole tick of the processor's time goes round in a circle. */
static void on_tick(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)info;
  if (!running) return;
  if (case_at_tick == (int32_t)current) next_case(&((ucontext_t *)context)->uc_mcontext, HUNG);
  case_at_tick = current;
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *)) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigfillset(&action.sa_mask);
  if (sigaction(signal, &action, NULL) != 0) fail("sigaction");
}

/* Is selector 0x23 a present 32-bit code segment: LAR's access rights, type code and D bit. */
static int has_32_bit(void) {
  uint32_t rights = 0;
  uint8_t valid;
  __asm__("larl %2, %0; setz %1" : "+r"(rights), "=q"(valid) : "r"((uint32_t)CS_32) : "cc");
  return valid && (rights & 0x409800) == 0x409800;
}

/* 32-bit code takes a segment's base from a descriptor. */
static int load_gs_32(void) {
  struct user_desc segment = {
      .entry_number = GS_SELECTOR >> 3,
      .base_addr = (uint32_t)setup.gs_base,
      .limit = 0xfffff,
      .seg_32bit = 1,
      .limit_in_pages = 1,
      .useable = 1,
  };
  if (syscall(SYS_modify_ldt, 1, &segment, sizeof segment) != 0) return 0;
  __asm__ volatile("movl %0, %%gs" ::"r"(GS_SELECTOR));
  return 1;
}

static void *several(size_t count, size_t size) {
  void *all = calloc(count + 1, size);
  if (all == NULL) fail("memory");
  return all;
}

static void write_all(const void *from, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t put = write(1, (const uint8_t *)from + done, size - done);
    if (put < 0 && errno != EINTR) fail("stdout");
    if (put > 0) done += put;
  }
}

static void map(uint64_t at, size_t size, int protection) {
  void *got = mmap((void *)at, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0);
  if (got == (void *)at) return;
  fprintf(stderr, "host-runner: cannot map %#lx: %s\n", at, strerror(errno));
  exit(ARENA_TAKEN);
}

int main(void) {
  read_all(&setup, sizeof setup);
  read_all(image, sizeof image);
  memcpy(before, image, sizeof image);
  requests = several(setup.cases, sizeof *requests);
  results = several(setup.cases, sizeof *results);
  plants = several(setup.words, sizeof *plants);
  images = several(setup.images, sizeof *images);
  /* Pages of it that nothing changes are never there. */
  changes = several((size_t)setup.cases * CHANGES, sizeof *changes);
  read_all(requests, setup.cases * sizeof *requests);
  read_all(plants, setup.words * sizeof *plants);
  read_all(images, setup.images * sizeof *images);
  if (setup.wants32 && !has_32_bit()) {
    fprintf(stderr, "host-runner: this kernel has no 32-bit code segment at selector 0x23 (IA32 emulation is off)\n");
    return NO_32_BIT;
  }
  if (setup.wants32 && !load_gs_32()) {
    fprintf(stderr, "host-runner: this kernel makes no segment for 32-bit code: modify_ldt: %s\n", strerror(errno));
    return NO_32_BIT;
  }
  for (int i = 0; i < MAX_PAGES; i++) {
    if (setup.pages[i] == HOLE) continue;
    map(setup.data + i * PAGE, PAGE, PROT_READ | PROT_WRITE);
    memcpy(data_page(i), image + i * PAGE, PAGE);
    if (setup.pages[i] == READ_ONLY && mprotect(data_page(i), PAGE, PROT_READ) != 0) fail("mprotect");
  }
  map(setup.code, setup.code_size, PROT_READ | PROT_WRITE | PROT_EXEC);
  memset((void *)setup.code, BREAKPOINT, setup.code_size);
  if (!setup.wants32 && syscall(SYS_arch_prctl, ARCH_SET_GS, setup.gs_base) != 0) fail("arch_prctl");
  /* 64-bit code ignores DS and ES; a 64-bit process has null selectors in them, which 32-bit code cannot use. */
  __asm__ volatile("movl %0, %%ds; movl %0, %%es" ::"r"(DATA_SELECTOR));

  stack_t stack = {.ss_sp = malloc(256 << 10), .ss_size = 256 << 10};
  if (stack.ss_sp == NULL || sigaltstack(&stack, NULL) != 0) fail("sigaltstack");
  const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) handle(signals[i], on_exception);
  handle(SIGPROF, on_tick);
  struct itimerval tick = {.it_interval = {.tv_usec = 200000}, .it_value = {.tv_usec = 200000}};
  if (setitimer(ITIMER_PROF, &tick, NULL) != 0) fail("setitimer");

  if (setup.cases > 0) __asm__ volatile("ud2" ::: "memory");

  write_all(results, setup.cases * sizeof *results);
  write_all(images, setup.images * sizeof *images);
  write_all(changes, change_count * sizeof *changes);
  return 0;
}
