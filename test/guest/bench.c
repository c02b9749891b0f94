/*
 * The guests that benchmarks and tests boot; `run=NAME` on the command line chooses one from the table at the end.
 * 64-bit only. Numbers are decimal or 0x hexadecimal.
 */
#include "io.h"
#include "pci.h"

enum { TABLE = 4096 };
static u8 table[TABLE + 16] __attribute__((aligned(4096)));

static struct test_device need_test_device(void)
{
  struct test_device device;
  if (!test_device_find(&device)) {
    print("bench: no test device (qemu-user run -device splitvm-test)\n");
    leave(1);
  }
  return device;
}

/* Guest work between two exits. */
static void work(u32 rounds)
{
  for (; rounds > 0; rounds--)
    __asm__ volatile("");
}

static int run_ports(void)
{
  u16 port = (u16)option_number("port", 0x3fd);
  u32 count = option_number("count", 100000), gap = option_number("gap", 0);
  for (u32 i = 0; i < count; i++) {
    in8(port);
    work(gap);
  }
  return 0;
}

static int run_mmio(void)
{
  struct test_device device = need_test_device();
  u32 count = option_number("count", 100000), gap = option_number("gap", 0);
  for (u32 i = 0; i < count; i++) {
    read32(device.memory + TEST_SCRATCH);
    work(gap);
  }
  return 0;
}

static int run_doorbell(void)
{
  struct test_device device = need_test_device();
  u32 count = option_number("count", 100000), before = read32(device.memory + TEST_DOORBELLS);
  for (u32 i = 1; i <= count; i++)
    *(volatile u32 *)(word)device.doorbell = i; /* posted: no exit, so not write32() */
  while (read32(device.memory + TEST_DOORBELLS) - before != count)
    work(10000);
  return 0;
}

static inline u64 rdtsc(void)
{
  u32 low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return low | (u64)high << 32;
}

/*
 * What a benchmark reads through the shared memory, at the physical address at=; times are in ticks of the TSC.
 * A round begins when the host counts `go` up (0: the end), and is over with a byte to the debug console: the host then stops the vCPU.
 */
enum { TIMED_AT = 0x1000000, CLOCK_READINGS = 1000, DEBUG_CONSOLE = 0xe9 };
struct timed {
  volatile u32 go, count;
  volatile u64 total;                    /* `count` accesses, one after the other without a reading of the clock */
  volatile u32 clock[CLOCK_READINGS];    /* two readings of the clock, one right after the other */
  volatile u32 access[];                 /* each of `count` accesses, a reading of the clock included */
};

enum kind { PORT, MMIO, DOORBELL };

static void timed_access(enum kind kind, u16 port, u32 at)
{
  if (kind == PORT)
    in8(port);
  else if (kind == MMIO)
    read32(at);
  else
    *(volatile u32 *)(word)at = 0;
}

static int run_timed(void)
{
  char what[16] = "port";
  option("what", what, sizeof what);
  enum kind kind = strcmp(what, "mmio") == 0 ? MMIO : strcmp(what, "doorbell") == 0 ? DOORBELL : PORT;
  u16 port = (u16)option_number("port", 0x3fd);
  u32 gap = option_number("gap", 0), address = 0;
  if (kind != PORT) {
    struct test_device device = need_test_device();
    address = kind == MMIO ? device.memory + TEST_SCRATCH : device.doorbell;
  }
  struct timed *timed = (struct timed *)(word)option_number("at", TIMED_AT);
  timed->count = option_number("count", 10000);
  for (u32 round = 0;; round = timed->go) {
    out8(DEBUG_CONSOLE, '.');
    while (timed->go == round)
      ;
    if (timed->go == 0)
      return 0;
    for (u32 i = 0; i < CLOCK_READINGS; i++) {
      u64 start = rdtsc();
      timed->clock[i] = (u32)(rdtsc() - start);
    }
    for (u32 i = 0; i < timed->count; i++) {
      for (u64 start = rdtsc(); gap != 0 && rdtsc() - start < gap;)
        ;
      u64 start = rdtsc();
      timed_access(kind, port, address);
      timed->access[i] = (u32)(rdtsc() - start);
    }
    u64 start = rdtsc();
    for (u32 i = 0; gap == 0 && i < timed->count; i++)
      timed_access(kind, port, address);
    timed->total = rdtsc() - start;
  }
}

/* Two words that a benchmark in another process sees through the shared memory: interrupts taken, and "stop". */
enum { IRQ_COUNT = 0x7000, IRQ_STOP = 0x7004 };
static inline volatile u32 *shared(u32 address)
{
  word hidden = address; /* from gcc, which takes an access to a small constant address for a mistake */
  __asm__("" : "+r"(hidden));
  return (volatile u32 *)hidden;
}

static struct test_device irq_device;

static void count_interrupt(void)
{
  ++*shared(IRQ_COUNT);
  if (irq_device.ports)
    out32(irq_device.ports + TEST_IRQ_STATUS, 0xffffffff);
}

/* irq= names a line that needs no acknowledgement but the EOI; without it the test device interrupts. */
static void irq_begin(void)
{
  unsigned irq = option_number("irq", 16);
  if (irq >= 16) {
    irq_device = need_test_device();
    irq = irq_device.irq;
  }
  *shared(IRQ_COUNT) = *shared(IRQ_STOP) = 0;
  irq_handle(irq, count_interrupt);
  print("ready for interrupts on line %u\n", irq);
}

static int irq_end(void)
{
  interrupts_off();
  print("%u interrupts\n", *shared(IRQ_COUNT));
  return 0;
}

static int run_irq(void)
{
  irq_begin();
  interrupts_on();
  for (u32 x = 1; *shared(IRQ_STOP) == 0; x = x * 1664525 + 1013904223)
    __asm__ volatile("" : "+r"(x));
  return irq_end();
}

static int run_hltirq(void)
{
  irq_begin();
  for (interrupts_off(); *shared(IRQ_STOP) == 0; interrupts_off())
    interrupts_on_and_halt();
  return irq_end();
}

static int run_idle(void)
{
  halt();
}

static int run_spin(void)
{
  __asm__ volatile("1: jmp 1b");
  return 1;
}

u64 mixing_loop(void *at, u64 rounds);
u64 fibonacci(u64 n);
u64 memory_loop(void *at, u64 rounds);
u64 double_loop(void *at, u64 rounds);
u64 vector_loop(void *at, u64 rounds);
u64 extended_loop(void *at, u64 rounds);
u64 dispersed(void *at, u64 seed);
extern const u8 dispersed_end[];

/*
 * The compute programs: one runs once and prints; with at= it runs a round whenever the host counts `go` up, as run=timed
 * does, and leaves there what the host reads. The checksum of a round does not depend on those before it.
 */
struct computed {
  volatile u32 go, reserved;
  volatile u64 total; /* ticks of the TSC */
  volatile u64 instructions, checksum;
};

static void clear_table(void)
{
  memset(table, 0, sizeof table);
}

static int compute(void (*prepare)(void), u64 (*run)(u64 count), u64 count, u64 instructions)
{
  struct computed *at = (struct computed *)(word)option_number("at", 0);
  if (at == 0) {
    prepare();
    u64 checksum = run(count);
    print("checksum %08x%08x, %u million instructions\n", (u32)(checksum >> 32), (u32)checksum,
          (u32)(instructions * count / 1000000));
    return 0;
  }
  at->instructions = instructions * count;
  for (u32 round = 0;; round = at->go) {
    out8(DEBUG_CONSOLE, '.');
    while (at->go == round)
      ;
    if (at->go == 0)
      return 0;
    prepare();
    u64 start = rdtsc();
    at->checksum = run(count);
    at->total = rdtsc() - start;
  }
}

static u64 loop(u64 count)
{
  return mixing_loop(table, count);
}

static u64 fib(u64 count)
{
  u64 sum = 0;
  while (count-- > 0)
    sum += fibonacci(24);
  return sum;
}

static u64 mem(u64 count)
{
  return memory_loop(table, count);
}

static u64 walk(u64 count)
{
  u64 sum = 0;
  while (count-- > 0)
    sum += dispersed(table, count);
  return sum;
}

static u64 fp(u64 count)
{
  return double_loop(table, count);
}

static u64 sse(u64 count)
{
  return vector_loop(table, count);
}

static u64 x87(u64 count)
{
  return extended_loop(table, count);
}

static int run_loop(void)
{
  return compute(clear_table, loop, option_number("count", 10000000), 9);
}

static int run_fib(void)
{
  /* fib(25) leaves, and one fewer inner calls */
  return compute(clear_table, fib, option_number("count", 10), 75025 * 9 + 75024 * 14);
}

static int run_mem(void)
{
  return compute(clear_table, mem, option_number("count", 1000000), 22);
}

static int run_fp(void)
{
  units_on();
  return compute(clear_table, fp, option_number("count", 1000000), 16);
}

static int run_sse(void)
{
  units_on();
  return compute(clear_table, sse, option_number("count", 1000000), 13);
}

static int run_x87(void)
{
  units_on();
  return compute(clear_table, x87, option_number("count", 1000000), 13);
}

enum { DISPERSED_INSTRUCTIONS = 29127 * 28 }; /* see dispersed.S */

static int run_dispersed(void)
{
  return compute(clear_table, walk, option_number("count", 50), DISPERSED_INSTRUCTIONS);
}

/* Code that was never executed where it lies: each time a copy at another place, up to 64 MiB of them. */
enum { COPIES_AT = 0x2000000, COPY_SIZE = 0x400000, COPIES = 16 };
static u64 (*copy)(void *at, u64 seed);

static void copy_code(void)
{
  static unsigned used;
  u8 *to = (u8 *)(word)(COPIES_AT + used++ % COPIES * COPY_SIZE);
  memcpy(to, (const void *)dispersed, dispersed_end - (const u8 *)dispersed);
  copy = (u64 (*)(void *, u64))to;
  clear_table();
}

static u64 walk_copy(u64 count)
{
  return copy(table, count - 1);
}

static int run_decode(void)
{
  return compute(copy_code, walk_copy, 1, DISPERSED_INSTRUCTIONS);
}

/* Nine exits a round, three to each device server: no answer may be lost, doubled or another one's. */
static int run_soak(void)
{
  u16 ports[3] = {(u16)option_number("a", 0xc100), (u16)option_number("b", 0xc200), (u16)option_number("c", 0xc300)};
  u32 count = option_number("count", 100000), counters[3];
  for (unsigned n = 0; n < 3; n++)
    counters[n] = in32(ports[n] + TEST_COUNTER);
  for (u32 i = 0, twentieth = 1; i < count; i++) {
    for (unsigned n = 0; n < 3; n++) {
      u32 counter = in32(ports[n] + TEST_COUNTER);
      out32(ports[n] + TEST_SCRATCH, i + n);
      u32 scratch = in32(ports[n] + TEST_SCRATCH);
      if (counter != ++counters[n] || scratch != i + n) {
        print("soak: BAD at %u: port %04x, COUNTER %u for %u, SCRATCH %u for %u\n", i, ports[n], counter, counters[n],
              scratch, i + n);
        return 1;
      }
    }
    while ((i + 1) * (u64)20 >= (u64)count * twentieth)
      print("soak: %u%%\n", 5 * twentieth++);
  }
  print("soak: ok %u\n", count);
  return 0;
}

/* Whoever answers, and however often the device process dies: COUNTER must go up by one at each read. */
static int run_counter(void)
{
  u16 port = (u16)option_number("port", 0xc000);
  u32 count = option_number("count", 1000), first = in32(port + TEST_COUNTER), wrong = 0;
  for (u32 i = 1; i < count; i++)
    wrong += in32(port + TEST_COUNTER) != first + i;
  print("counter: %u reads, %u wrong, %s\n", count, wrong, wrong == 0 ? "exact" : "MISCOUNTED");
  return wrong != 0;
}

/* #BP, whose gate is beyond the table's limit, then #GP, then #DF: shutdown. */
static int run_triple(void)
{
  struct __attribute__((packed)) { u16 limit; u64 base; } empty = {0, 0};
  __asm__ volatile("lidt %0; int3" : : "m"(empty));
  return 1;
}

static int run_nothing(void)
{
  enum { NO_PORT = 0x1234, NO_MEMORY = 0xd0000000 };
  volatile u8 *byte = (u8 *)(word)NO_MEMORY;
  u64 wide = *(volatile u64 *)byte;
  print("port %04x: %02x %04x %08x\n", NO_PORT, in8(NO_PORT), in16(NO_PORT), in32(NO_PORT));
  print("memory %08x: %02x %04x %08x %08x%08x\n", NO_MEMORY, *byte, *(volatile u16 *)byte, *(volatile u32 *)byte,
        (u32)(wide >> 32), (u32)wide);
  out32(NO_PORT, 0); /* ignored */
  *(volatile u32 *)byte = 0;
  return 0;
}

static const struct {
  const char *name, *options, *what;
  int (*run)(void);
} benches[] = {
  {"ports", "port= count= gap=", "8-bit port reads, gap= rounds of work between", run_ports},
  {"gap", "port= count= gap=", "the same", run_ports},
  {"mmio", "count= gap=", "32-bit reads of the test device's SCRATCH", run_mmio},
  {"timed", "what= port= at= count= gap=", "port, mmio or doorbell; times in memory, for the host", run_timed},
  {"doorbell", "count=", "posted writes, then waits until all have been seen", run_doorbell},
  {"irq", "irq=", "computes; counts interrupts at 0x7000 until 0x7004", run_irq},
  {"hltirq", "irq=", "the same, halted in between", run_hltirq},
  {"idle", "", "cli; hlt", run_idle},
  {"spin", "", "jumps to itself", run_spin},
  {"loop", "count= at=", "9 instructions, one load, one store", run_loop},
  {"fib", "count= at=", "fib(24) by recursion", run_fib},
  {"mem", "count= at=", "read-modify-write in four widths", run_mem},
  {"fp", "count= at=", "scalar double arithmetic", run_fp},
  {"sse", "count= at=", "integer vectors of 128 bits", run_sse},
  {"x87", "count= at=", "x87 arithmetic", run_x87},
  {"dispersed", "count= at=", "walks through 4 MiB of code", run_dispersed},
  {"decode", "at=", "the same once, where it was never executed; needs 96 MiB", run_decode},
  {"soak", "a= b= c= count=", "three test devices at these ports, every answer checked", run_soak},
  {"counter", "port= count=", "a COUNTER that must go up by one at each read", run_counter},
  {"triple", "", "triple fault", run_triple},
  {"nothing", "", "reads where nothing is", run_nothing},
};

int main(void)
{
  char name[16] = "";
  option("run", name, sizeof name);
  for (unsigned i = 0; i < sizeof benches / sizeof benches[0]; i++)
    if (strcmp(benches[i].name, name) == 0)
      return benches[i].run();
  print("bench: run=%s is none of\n", name);
  for (unsigned i = 0; i < sizeof benches / sizeof benches[0]; i++)
    print("%10s %28s  %s\n", benches[i].name, benches[i].options, benches[i].what);
  return 1;
}
