/*
 * PCI configuration space of bus 0, and the splitvm-test device.
 */
#ifndef PCI_H
#define PCI_H

#include "guest.h"

/* A function on bus 0 is device << 3 | function. */
enum { PCI_FUNCTIONS = 256 };
enum { PCI_ID = 0x00, PCI_COMMAND = 0x04, PCI_CLASS = 0x08, PCI_HEADER = 0x0c, PCI_BAR0 = 0x10, PCI_INTERRUPT = 0x3c };
enum { PCI_COMMAND_PORTS = 1, PCI_COMMAND_MEMORY = 2, PCI_COMMAND_MASTER = 4 };

struct bar {
  bool ports; /* else memory */
  bool wide;  /* 64 bits: takes the next register, too */
  u32 address, size;
};

u32 pci_read(u32 function, u32 offset);
void pci_set_command(u32 function, u16 command);
/* The first function at or after this one, or PCI_FUNCTIONS. */
u32 pci_next(u32 function);
/* Size and address of base address register n; false where there is none. */
bool pci_bar(u32 function, unsigned n, struct bar *bar);

/* Registers of splitvm-test, the same in BAR0 (ports) and BAR1 (memory). */
enum {
  TEST_ID = 0x00,
  TEST_SCRATCH = 0x04,
  TEST_COUNTER = 0x08,
  TEST_IRQ_STATUS = 0x0c,
  TEST_IRQ_RAISE = 0x10,
  TEST_DMA_ADDR_LO = 0x14,
  TEST_DMA_ADDR_HI = 0x18,
  TEST_DMA_LEN = 0x1c,
  TEST_DMA_PATTERN = 0x20,
  TEST_DMA_COMMAND = 0x24,
  TEST_DMA_RESULT = 0x28,
  TEST_DMA_STATUS = 0x2c,
  TEST_DOORBELLS = 0x30,
  TEST_EXITS = 0x34,
  TEST_DOORBELL_LAST = 0x38,
};
enum { DMA_FILL = 1, DMA_SUM = 2, DMA_FILL_AND_INTERRUPT = 3 };
enum { TEST_SVMT = 0x544d5653 };

struct test_device {
  u32 function;
  u16 ports;    /* BAR0 */
  u32 memory;   /* BAR1 */
  u32 doorbell; /* BAR2 */
  unsigned irq;
};

/* Finds the device and lets it decode its BARs and master the bus. */
bool test_device_find(struct test_device *device);

#endif
