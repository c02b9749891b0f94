/*
 * The compute programs of test/guest, on the host itself: the peer of the cpu/ rows, linked with the same assembler files.
 *   native loop|fib|mem|fp|sse|x87|dispersed COUNT
 * Prints {"ns":..., "checksum":"..."}; the checksum is what bench.c in the guest gets for the same count.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t mixing_loop(void *at, uint64_t rounds);
uint64_t fibonacci(uint64_t n);
uint64_t memory_loop(void *at, uint64_t rounds);
uint64_t double_loop(void *at, uint64_t rounds);
uint64_t vector_loop(void *at, uint64_t rounds);
uint64_t extended_loop(void *at, uint64_t rounds);
uint64_t dispersed(void *at, uint64_t seed);

static uint8_t table[4096 + 16] __attribute__((aligned(4096)));

static uint64_t loop(uint64_t count)
{
  return mixing_loop(table, count);
}

static uint64_t fib(uint64_t count)
{
  uint64_t sum = 0;
  while (count-- > 0)
    sum += fibonacci(24);
  return sum;
}

static uint64_t mem(uint64_t count)
{
  return memory_loop(table, count);
}

static uint64_t fp(uint64_t count)
{
  return double_loop(table, count);
}

static uint64_t sse(uint64_t count)
{
  return vector_loop(table, count);
}

static uint64_t x87(uint64_t count)
{
  return extended_loop(table, count);
}

static uint64_t walk(uint64_t count)
{
  uint64_t sum = 0;
  while (count-- > 0)
    sum += dispersed(table, count);
  return sum;
}

static const struct {
  const char *name;
  uint64_t (*run)(uint64_t count);
} programs[] = {{"loop", loop}, {"fib", fib}, {"mem", mem}, {"fp", fp}, {"sse", sse}, {"x87", x87}, {"dispersed", walk}};

static uint64_t now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * UINT64_C(1000000000) + t.tv_nsec;
}

int main(int argc, char **argv)
{
  for (size_t i = 0; argc == 3 && i < sizeof programs / sizeof programs[0]; i++) {
    if (strcmp(argv[1], programs[i].name) != 0)
      continue;
    uint64_t count = strtoull(argv[2], NULL, 0);
    programs[i].run(count / 4 + 1); /* code and data are there, the clock rate is up */
    memset(table, 0, sizeof table);
    uint64_t start = now(), checksum = programs[i].run(count);
    printf("{\"ns\":%" PRIu64 ",\"checksum\":\"%016" PRIx64 "\"}\n", now() - start, checksum);
    return 0;
  }
  fprintf(stderr, "usage: native loop|fib|mem|fp|sse|x87|dispersed COUNT\n");
  return 1;
}
