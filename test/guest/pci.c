/*
 * PCI bus 0 through configuration mechanism 1, and the splitvm-test device on it.
 * Spec: PCI Local Bus Specification 3.0, 3.2.2.3.2 (mechanism 1) and 6.2.5 (base addresses).
 * Left out: bridges and other buses, BARs of 4 GiB and more.
 */
#include "pci.h"
#include "io.h"

enum { CONFIG_ADDRESS = 0xcf8, CONFIG_DATA = 0xcfc };
enum { BAR_IS_PORTS = 1, BAR_TYPE = 6, BAR_IS_WIDE = 4 };

static void pci_select(u32 function, u32 offset) { out32(CONFIG_ADDRESS, 0x80000000 | function << 8 | offset); }

u32 pci_read(u32 function, u32 offset)
{
  pci_select(function, offset);
  return in32(CONFIG_DATA);
}

static void pci_write(u32 function, u32 offset, u32 value)
{
  pci_select(function, offset);
  out32(CONFIG_DATA, value);
}

void pci_set_command(u32 function, u16 command)
{
  pci_select(function, PCI_COMMAND);
  out16(CONFIG_DATA, command); /* 16 bits: the status register beside it is cleared by writing ones */
}

static u32 header_type(u32 function) { return pci_read(function, PCI_HEADER) >> 16 & 0xff; }

u32 pci_next(u32 function)
{
  while (function < PCI_FUNCTIONS) {
    if ((function & 7) != 0 && !(header_type(function & ~7u) & 0x80))
      function = (function | 7) + 1; /* not a multi-function device */
    else if ((pci_read(function, PCI_ID) & 0xffff) != 0xffff)
      return function;
    else
      function += (function & 7) == 0 ? 8 : 1;
  }
  return PCI_FUNCTIONS;
}

bool pci_bar(u32 function, unsigned n, struct bar *bar)
{
  if (n >= ((header_type(function) & 0x7f) == 0 ? 6 : 2))
    return false;
  u32 offset = PCI_BAR0 + 4 * n;
  u16 command = (u16)pci_read(function, PCI_COMMAND);
  /* With decoding off, so that the device is not for a moment where all ones would put it. */
  pci_set_command(function, command & (u16)~(PCI_COMMAND_PORTS | PCI_COMMAND_MEMORY));
  u32 value = pci_read(function, offset);
  pci_write(function, offset, 0xffffffff);
  u32 mask = pci_read(function, offset);
  pci_write(function, offset, value);
  pci_set_command(function, command);

  bar->ports = value & BAR_IS_PORTS;
  bar->wide = !bar->ports && (value & BAR_TYPE) == BAR_IS_WIDE;
  u32 address_bits = bar->ports ? ~3u : ~15u;
  bar->address = value & address_bits;
  bar->size = -(mask & address_bits) & (bar->ports ? 0xffff : 0xffffffff);
  return mask != 0;
}

bool test_device_find(struct test_device *device)
{
  u32 function = 0;
  while ((function = pci_next(function)) < PCI_FUNCTIONS && pci_read(function, PCI_ID) != 0x53561234)
    function++;
  if (function == PCI_FUNCTIONS)
    return false;
  device->function = function;
  device->ports = (u16)(pci_read(function, PCI_BAR0) & ~3u);
  device->memory = pci_read(function, PCI_BAR0 + 4) & ~15u;
  device->doorbell = pci_read(function, PCI_BAR0 + 8) & ~15u;
  device->irq = pci_read(function, PCI_INTERRUPT) & 15;
  pci_set_command(function, PCI_COMMAND_PORTS | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
  return true;
}
