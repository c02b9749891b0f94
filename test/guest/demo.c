/*
 * The guest that `make run` boots: shows each part of the machine once, and checks what it gets.
 * Its report is the same on every engine and in every mode; 32 and 64 bits differ in the first line only.
 */
#include "io.h"
#include "pci.h"

enum { PRIMES_BELOW = 100000, SORTED = 4096, BUFFER = 65536, RINGS = 1000, NOT_RAM = 0xf0000000 };

/* Name, then what there is to say; the PCI rows keep to the same column. */
#define ROW "%14s: "

static u8 sieve[PRIMES_BELOW];
static u32 numbers[SORTED];
static u8 buffer[BUFFER];
static u32 wrong;

/* The verdict behind a result, and the count that main() returns. */
static const char *verdict(bool right)
{
  wrong += !right;
  return right ? "right" : "WRONG";
}

static u32 random(void)
{
  static u32 state = 1;
  state = state * 1664525 + 1013904223; /* Numerical Recipes */
  return state;
}

static void show_boot(void)
{
  const char *mode = sizeof(word) == 8 ? "64-bit long mode" : "32-bit flat mode";
  print("splitvm demo guest: %s, booted by %s\n", mode, boot.protocol);
  print(ROW "%s\n", "options", *boot.options ? boot.options : "none");
  print(ROW "%u MiB\n", "memory", boot.memory_mib);
  if (boot.module == NULL)
    print(ROW "none\n", "module");
  else
    print(ROW "%s, %u bytes, CRC-32 %08x\n", "module", *boot.module ? boot.module : "(no name)", boot.module_size,
          crc32((void *)(word)boot.module_at, boot.module_size));
}

static void show_pci(void)
{
  print("PCI bus 0\n");
  for (u32 function = 0; (function = pci_next(function)) < PCI_FUNCTIONS; function++) {
    u32 id = pci_read(function, PCI_ID), irq = pci_read(function, PCI_INTERRUPT);
    print("       %02x:%02x.%u: %04x:%04x, class %06x", 0u, function >> 3, function & 7, id & 0xffff, id >> 16,
          pci_read(function, PCI_CLASS) >> 8);
    if (irq >> 8 & 0xff)
      print(", INT%c on line %u", (char)('@' + (irq >> 8 & 0xff)), irq & 0xff);
    print("\n");
    struct bar bar = {.wide = false};
    for (unsigned n = 0; n < 6; n += bar.wide ? 2 : 1)
      if (pci_bar(function, n, &bar))
        print("%13s%u: %s %08x, %5u bytes\n", "BAR", n, bar.ports ? "ports " : "memory", bar.address, bar.size);
  }
}

static u32 fibonacci(u32 n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

static void compute_primes(void)
{
  u32 count = 0, last = 0;
  for (u32 n = 2; n < PRIMES_BELOW; n++) {
    if (sieve[n])
      continue;
    count++, last = n;
    for (u32 multiple = 2 * n; multiple < PRIMES_BELOW; multiple += n)
      sieve[multiple] = 1;
  }
  bool right = count == 9592 && last == 99991;
  print(ROW "%u below %u, the last %u, %s\n", "primes", count, PRIMES_BELOW, last, verdict(right));
}

/* Shell's sort, with Knuth's gaps 1, 4, 13, 40, ... */
static void compute_sort(void)
{
  u32 sum = 0, sum_after = 0, out_of_order = 0, gap = 1;
  for (u32 i = 0; i < SORTED; i++)
    sum += numbers[i] = random();
  while (gap < SORTED / 3)
    gap = 3 * gap + 1;
  for (; gap > 0; gap /= 3)
    for (u32 i = gap; i < SORTED; i++) {
      u32 number = numbers[i], at = i;
      for (; at >= gap && numbers[at - gap] > number; at -= gap)
        numbers[at] = numbers[at - gap];
      numbers[at] = number;
    }
  for (u32 i = 0; i < SORTED; i++) {
    sum_after += numbers[i];
    out_of_order += i > 0 && numbers[i - 1] > numbers[i];
  }
  bool right = out_of_order == 0 && sum == sum_after;
  print(ROW "%u numbers, middle %08x, %s\n", "sort", SORTED, numbers[SORTED / 2], verdict(right));
}

/* Multiplies, divides, and checks each division by multiplying back. */
static void compute_64_bits(void)
{
  u64 x = 1, mixed = 0;
  u32 bad = 0;
  for (u32 i = 0; i < 1000; i++) {
    x = x * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
    u64 divisor = (x >> (i & 63)) | 1, quotient = mixed / divisor, rest = mixed % divisor;
    bad += quotient * divisor + rest != mixed || rest >= divisor;
    mixed = (mixed << 7 | mixed >> 57) ^ (x + quotient);
  }
  u32 high = (u32)(mixed >> 32), low = (u32)mixed;
  print(ROW "1000 multiplied and divided, %08x%08x, %s\n", "64 bits", high, low, verdict(bad == 0));
}

static void show_computing(void)
{
  print("Computing\n");
  compute_primes();
  u32 fib = fibonacci(24);
  print(ROW "%u, %s\n", "fib(24)", fib, verdict(fib == 46368));
  u32 crc = crc32("123456789", 9);
  print(ROW "%08x, %s\n", "CRC-32", crc, verdict(crc == 0xcbf43926)); /* the check value of every CRC catalogue */
  compute_sort();
  compute_64_bits();
}

static struct test_device device;
static volatile u32 interrupts;

/* Runs one DMA command to its end and gives its status. */
static u32 dma(u32 command, u32 address, u32 length, u32 pattern)
{
  out32(device.ports + TEST_DMA_ADDR_LO, address);
  out32(device.ports + TEST_DMA_ADDR_HI, 0);
  out32(device.ports + TEST_DMA_LEN, length);
  out32(device.ports + TEST_DMA_PATTERN, pattern);
  __asm__ volatile("" ::: "memory"); /* the device reads and writes memory behind the compiler's back */
  out32(device.ports + TEST_DMA_COMMAND, command);
  __asm__ volatile("" ::: "memory");
  return in32(device.ports + TEST_DMA_STATUS);
}

static void test_registers(void)
{
  u32 by_ports = in32(device.ports + TEST_ID), by_memory = read32(device.memory + TEST_ID);
  out32(device.ports + TEST_SCRATCH, 0x12345678);
  u32 scratch = read32(device.memory + TEST_SCRATCH);
  print(ROW "ID %08x by ports, %08x by memory, %s\n", "registers", by_ports, by_memory,
        verdict(by_ports == TEST_SVMT && by_memory == TEST_SVMT && scratch == 0x12345678));
}

static void test_dma(void)
{
  const u32 pattern = 0x87654321;
  u32 status = dma(DMA_FILL, (u32)(word)buffer, BUFFER, pattern), bad = 0;
  for (u32 i = 0; i < BUFFER; i++)
    bad += buffer[i] != (u8)(pattern >> 8 * (i & 3));
  print(ROW "%u bytes of %08x, %u differ, %s\n", "DMA fill", BUFFER, pattern, bad, verdict(status == 0 && bad == 0));

  u32 sum = 0;
  for (u32 i = 0; i < BUFFER; i++)
    sum += buffer[i] = (u8)(random() >> 24);
  status = dma(DMA_SUM, (u32)(word)buffer, BUFFER, 0);
  u32 result = in32(device.ports + TEST_DMA_RESULT);
  print(ROW "%u, by the CPU %u, %s\n", "DMA sum", result, sum, verdict(status == 0 && result == sum));

  u32 outside = dma(DMA_FILL, NOT_RAM, 4, 0), too_long = dma(DMA_SUM, 0, (1 << 20) + 1, 0), unknown = dma(99, 0, 4, 0);
  pci_set_command(device.function, PCI_COMMAND_PORTS | PCI_COMMAND_MEMORY);
  u32 no_master = dma(DMA_SUM, 0, 4, 0);
  pci_set_command(device.function, PCI_COMMAND_PORTS | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
  print(ROW "outside RAM %u, too long %u, unknown %u, not master %u, %s\n", "DMA errors",
        outside, too_long, unknown, no_master,
        verdict(outside == 1 && too_long == 2 && unknown == 3 && no_master == 4));
}

static void test_doorbell(void)
{
  for (u32 i = 1; i <= RINGS; i++)
    *(volatile u32 *)(word)device.doorbell = i; /* posted: no exit, so not write32() */
  u32 counted = read32(device.memory + TEST_DOORBELLS), last = read32(device.memory + TEST_DOORBELL_LAST);
  bool right = counted == RINGS && last == RINGS;
  print(ROW "rung %u times, counted %u, last %u, %s\n", "doorbell", RINGS, counted, last, verdict(right));
}

static void on_interrupt(void)
{
  interrupts++;
  out32(device.ports + TEST_IRQ_STATUS, in32(device.ports + TEST_IRQ_STATUS)); /* write 1 to clear */
}

static void test_interrupt(void)
{
  irq_handle(device.irq, on_interrupt);
  u32 status = dma(DMA_FILL_AND_INTERRUPT, (u32)(word)buffer, 4, 0);
  for (interrupts_off(); interrupts == 0; interrupts_off())
    interrupts_on_and_halt();
  print(ROW "%u, %s\n", "interrupt", interrupts, verdict(status == 0 && interrupts == 1));
}

static void show_test_device(void)
{
  if (!test_device_find(&device)) {
    print("No test device\n");
    return;
  }
  print("Test device\n");
  test_registers();
  test_dma();
  test_doorbell();
  test_interrupt();
  /* Polls of a busy transmitter depend on who reads the console, so they are left out on both sides. */
  u32 served = read32(device.memory + TEST_EXITS) - console_waits, counted = exits - console_waits;
  print(ROW "%u served, %u by my own count, %s\n", "exits", served, counted, verdict(served == counted));
}

int main(void)
{
  show_boot();
  show_pci();
  show_computing();
  show_test_device();
  if (wrong > 0)
    print(ROW "%u\n", "wrong", wrong);
  print("demo: done\n");
  return wrong > 0;
}
