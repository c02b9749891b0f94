# Debian's kernels and busybox, downloaded once: build/guest/debian/{amd64,i386}/{vmlinuz,initrd.img}. Included by the Makefile.

DEBIAN := build/guest/debian
# There is no local APIC, IOAPIC or ACPI on the board yet.
DEBIAN_APPEND := console=ttyS0 quiet acpi=off noapic nolapic
DEBIAN_SOURCES := $(wildcard test/guest/debian/*.ts test/guest/debian/*.sh)

.PHONY: debian
debian: $(DEBIAN)/amd64/packages

# The initramfs is packed anew when /init or its packer changes; what was downloaded stays in the cache of apt.
$(DEBIAN)/amd64/packages: $(DEBIAN_SOURCES) $(INSTALL)
	@rm -f $(DEBIAN)/*/packages
	@$(NODE) test/guest/debian/fetch.ts $(DEBIAN)
